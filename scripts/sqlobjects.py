"""Reads the functions and views of schema system, their comments and rights, from sql/install, without a server."""

import pathlib
import re

# What ends the result type of CREATE FUNCTION.
NEXT = r"(?:LANGUAGE|AS|STABLE|VOLATILE|IMMUTABLE|STRICT|PARALLEL|SECURITY|CALLED|ROWS|COST|SET)\b"
FUNCTION = re.compile(
    r"CREATE (?:OR REPLACE )?FUNCTION\s+(\w+)\.(\w+)\s*\((.*?)\)\s*"
    rf"(?:RETURNS\s+(TABLE\s*\(.*?\)(?=\s+{NEXT})|.*?)\s+)?{NEXT}", re.S | re.I)
VIEW = re.compile(
    r"CREATE (?:OR REPLACE )?VIEW\s+system\.(\w+)\s*(?:\((.*?)\)\s*)?(?:WITH\s*\(.*?\)\s*)?AS\b(.*)", re.S | re.I)
COMMENT = re.compile(
    r"COMMENT ON (FUNCTION|VIEW|COLUMN)\s+system\.(\w+)(?:\.(\w+))?\s*(?:\(.*?\)\s*)?IS\s+(.*)$", re.S | re.I)
RIGHT = re.compile(r"(GRANT|REVOKE)\s+.*?\sON\s+(?:FUNCTION\s+|TABLE\s+)?(.*)\s+(?:TO|FROM)\s+(.*)$", re.S | re.I)
TOKEN = re.compile(
    r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$|[;()]|[^;()'\"$/-]+|.", re.S)


def statements(sql):
    """Statements of a script without comments; a semicolon inside quotes or parentheses does not end one."""
    parts, depth = [], 0
    for m in TOKEN.finditer(sql):
        token = m.group(0)
        if token.startswith(("--", "/*")):
            continue
        depth += (token == "(") - (token == ")")
        if token == ";" and depth == 0:
            yield "".join(parts).strip()
            parts = []
        else:
            parts.append(token)


def split_list(text):
    """Splits at commas outside of parentheses."""
    parts, depth = [""], 0
    for c in text:
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += c
    return [" ".join(p.split()) for p in parts if p.strip()]


def select_list(query):
    """[(column, type or "", expression)] of a SELECT that has a plain list of columns."""
    depth, start = 0, re.match(r"\s*SELECT\s+", query, re.I)
    for m in re.finditer(r"[()]|\bFROM\b", query, re.I) if start else ():
        depth += (m.group(0) == "(") - (m.group(0) == ")")
        if depth == 0 and m.group(0).upper() == "FROM":
            return [column(item) for item in split_list(query[start.end():m.start()])]
    return []


def column(item):
    expression, _, name = re.match(r"(.*?)(\s+AS\s+(\w+))?$", item, re.I).groups()
    cast = re.search(r"::(\w+)$", expression)
    bare = re.sub(r"::\w+$", "", expression)
    kind = cast.group(1) if cast else "numeric" if bare.lower().startswith("round(") else ""
    return name or bare.rsplit(".", 1)[-1], kind, bare


def unquote(literal):
    """The value of 'a', or of 'a' 'b' on several lines."""
    return "".join(p.replace("''", "'") for p in re.findall(r"'((?:[^']|'')*)'", literal))


class Objects:
    """functions and views: {name: dict}, with file, line, comment, who, and args and result, or columns."""

    def __init__(self, root):
        self.functions, self.views, self.unread = {}, {}, []
        self._rows_of = {}  # "schema.function" -> [(column, type)]
        for path in sorted(pathlib.Path(root, "sql/install").glob("*.sql")):
            for statement in statements(path.read_text()):
                self._read(path, statement)

    def _read(self, path, statement):
        if m := FUNCTION.match(statement):
            self._function(path, *m.groups())
        elif m := VIEW.match(statement):
            self._view(path, *m.groups())
        elif m := COMMENT.match(statement):
            self._comment(*m.groups())
        elif m := RIGHT.match(statement):
            self._right(*m.groups())
        elif m := re.match(r"CREATE (?:OR REPLACE )?(?:FUNCTION|VIEW)\s+system\.(\w+)", statement, re.I):
            self.unread.append(self._place(path, m.group(1)) | {"name": m.group(1)})

    @staticmethod
    def _place(path, name):
        lines = path.read_text().splitlines()
        line = next((n for n, text in enumerate(lines, 1) if f"system.{name}" in text), 1)
        return {"file": f"sql/install/{path.name}", "line": line, "comment": "", "who": "everybody"}

    def _function(self, path, schema, name, args, result):
        args, result = split_list(args), result or ""
        columns = re.match(r"TABLE\s*\((.*)\)\s*$", result, re.S | re.I)
        outs = split_list(columns.group(1)) if columns else [a[4:] for a in args if a.upper().startswith("OUT ")]
        self._rows_of[f"{schema}.{name}"] = [(c.split(" ", 1) + [""])[:2] for c in outs]
        if schema != "system":
            return
        many = "rows of " if columns or "SETOF" in result.upper() else ""
        self.functions[name] = self._place(path, name) | {
            "args": ", ".join(a for a in args if not a.upper().startswith("OUT ")),
            "result": f"{many}({', '.join(outs)})" if outs else " ".join(result.split()),
        }

    def _view(self, path, name, head, query):
        """Columns from the view's own list or from its SELECT, with types where a function's columns or a cast tell."""
        source = re.search(r"\bFROM\s+(?:\(SELECT \* FROM\s+)?(\w+\.\w+)\s*\(", query)
        types = dict(self._rows_of.get(source.group(1), []) if source else [])
        columns = [(c, "", c) for c in split_list(head)] if head else select_list(query)
        if [c for c, _, _ in columns] == ["*"]:
            columns = [(c, kind, c) for c, kind in types.items()]
        columns = [(c, kind or types.get(expression.rsplit(".", 1)[-1], "")) for c, kind, expression in columns]
        self.views[name] = self._place(path, name) | {"columns": columns, "comments": {}}

    def _comment(self, kind, name, column, text):
        target = (self.functions if kind.upper() == "FUNCTION" else self.views).get(name)
        if target is not None and column:
            target["comments"][column] = unquote(text)
        elif target is not None:
            target["comment"] = unquote(text)

    def _right(self, verb, objects, roles):
        who = "superusers"
        if verb.upper() == "GRANT":
            who = ", ".join("everybody" if r.upper() == "PUBLIC" else f"`{r}`" for r in split_list(roles))
        for name in re.findall(r"system\.(\w+)", objects):
            for target in (self.functions.get(name), self.views.get(name)):
                if target is not None:
                    target["who"] = who

    def problems(self):
        """[(file, line, problem)]: what a reference page could not describe."""
        for kind, objects in (("function", self.functions), ("view", self.views)):
            for name, o in objects.items():
                if not o["comment"]:
                    yield o["file"], o["line"], f"{kind} system.{name} has no COMMENT ON {kind.upper()}"
        for name, v in self.views.items():
            known = {c[0] for c in v["columns"]}
            for column in v["comments"].keys() - known if known else ():
                yield v["file"], v["line"], f"view system.{name} has no column {column}"
            if not known and not v["comments"]:
                yield v["file"], v["line"], f"the columns of system.{name} are unknown: use COMMENT ON COLUMN"
        for o in self.unread:
            yield o["file"], o["line"], f"make docs does not understand the declaration of system.{o['name']}"
