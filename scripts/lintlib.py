"""What the parts of `make lint` share: which files there are, and how a finding is printed.

A part is a program scripts/lint.d/NN_name. It calls `report` for each finding and ends with `finish()`.
LINT_ROOT names another tree to look at: 99_selftest uses it to show that every part fails on a bad example.
"""

import functools
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("LINT_ROOT") or pathlib.Path(__file__).resolve().parent.parent)
# Bad examples live here; nothing but the self-test reads them.
TESTDATA = "scripts/lint.testdata/"
PURE_ROOMS = ("base/", "raftlog/", "cachefusion/", "bgworkers/failover/", "bgworkers/replication/core/",
              "bgworkers/replication/spool/")
_findings = []


def _tracked():
    """Paths relative to ROOT: what git tracks, or every file when ROOT is not a checkout."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True).stdout
        names = listed.decode().split("\0")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    return sorted(n for n in names if n and not n.startswith(TESTDATA) and (ROOT / n).is_file())


_names = None


def files(*suffixes, under=""):
    """Tracked files below `under` whose name ends with one of the suffixes (all, when none is given)."""
    global _names
    if _names is None:
        _names = _tracked()
    return [n for n in _names if n.startswith(under) and (not suffixes or n.endswith(suffixes))]


def text(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def lines(name):
    """(number, line) of a file, from 1."""
    return enumerate(text(name).splitlines(), 1)


def cpp_code(name):
    """(number, line) of a C++ file with comments and the inside of strings blanked out."""
    keep_lines = lambda m: (m.group(0) if m.group(0).lstrip().startswith("#include")
                            else '""' if m.group(0).startswith('"') else
                            "''" if m.group(0).startswith("'") else re.sub(r"[^\n]", " ", m.group(0)))
    token = re.compile(r'^[ \t]*#include[^\n]*|R"(\w*)\(.*?\)\1"|//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'
                       r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S | re.M)
    return enumerate(token.sub(keep_lines, text(name)).splitlines(), 1)


def includes(name):
    """(number, quoted, header) of each #include."""
    for number, line in lines(name):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            yield number, m.group(1) == '"', m.group(2)


@functools.cache
def allowed(part):
    """{key: reason} of scripts/lint.allow/PART: one exception a line, `key  reason`, each with its reason."""
    path = ROOT / "scripts/lint.allow" / part
    rows = {}
    if path.exists():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                key, _, reason = line.partition("  ")
                if not reason.strip():
                    report(f"scripts/lint.allow/{part}", number, "an exception needs a reason after two spaces")
                rows[key.strip()] = reason.strip()
    return rows


@functools.cache
def is_pure(name):
    """Files without PostgreSQL, clock, thread, disk and network: the pure rooms, and policies beside their worker."""
    policy = name.startswith("bgworkers/") and re.search(r"_policy\.(h|cpp)$", name) and name not in allowed("policies")
    return bool(policy) or name.startswith(PURE_ROOMS)


def report(name, number, message):
    _findings.append((name, number, message))


def finish():
    for name, number, message in sorted(set(_findings)):
        print(f"{name}:{number}: {message}")
    sys.exit(1 if _findings else 0)
