#!/usr/bin/python3
"""The README's five minutes, word by word; only addresses and directories are others."""
import pathlib
import re
import subprocess

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.by_hand import ByHand
from pgquorum_tap.cluster import bindir

README = pathlib.Path(__file__).resolve().parents[3] / "README.md"


def steps():
    """{number: [code block, …]} of the section."""
    section = re.search(r"^## Five minutes$(.*?)^## ", README.read_text(), re.MULTILINE | re.DOTALL).group(1)
    parts = re.split(r"^\*\*(\d)\. ", section, flags=re.MULTILINE)
    return {int(number): re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
            for number, text in zip(parts[1::2], parts[2::2])}


class Machines(ByHand):
    """Three machines on one: what the README says on 10.0.0.N is done in the place of nodeN."""

    def place(self, text, machine):
        for i, node in enumerate(self.nodes.values(), 1):
            text = text.replace(f"10.0.0.{i}:5432", f"{node.host}:{node.port}")
            text = text.replace(f"10.0.0.{i}:5433", self.raft_address(node))
        return text.replace("/var/lib/postgresql/15/prod", str(self.nodes[machine].data))

    def shell(self, text, machine):
        done = subprocess.run(["bash", "-euc", self.place(text, machine)], cwd=self.directory, text=True,
                              capture_output=True, timeout=180, env={"PATH": f"{bindir()}:/usr/bin:/bin"}, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout


def the_five_minutes(test):
    done = steps()
    assert sorted(done) == [1, 2, 3, 4, 5, 6], sorted(done)
    cluster = Machines(nodes=3)
    test.on_end(cluster.down)
    cluster.prepare()
    # The one thing that is the test's: the administrator comes in over the network, without a password.
    first = done[1][0].replace("10.0.0.0/24", "127.0.0.0/8")
    cluster.shell(first.replace("--hba", "--hba 'host all postgres samenet trust' --hba"), "node1")
    cluster.now_members(["node1"])
    wait_for(lambda: cluster.primary() == "node1", "the first node is primary", 60)
    for machine in ("node2", "node3"):
        cluster.shell(done[2][0], "node1")
        cluster.shell(done[3][0].replace("node2", machine).replace("10.0.0.2", f"10.0.0.{machine[-1]}"), machine)
        cluster.now_members(["node1", "node2", "node3"][:int(machine[-1])])
    cluster.await_healthy()
    assert cluster.shell(done[4][0], "node2").count("healthy") == 3
    with psycopg2.connect(cluster.url()) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        for statement in re.sub(r"--.*", "", done[4][1]).split(";"):
            if statement.strip():
                cursor.execute(statement)
    found = cluster.shell(done[5][0].strip() + " -Atc 'SELECT pg_is_in_recovery(), current_user'", "node3")
    assert found.strip() == "f|app", found
    for statement in done[6][0].split(";"):
        if statement.strip():
            cluster.sql(statement, node="node2")
    assert cluster.await_primary() == "node2"
    # Unplanned: kill it, and start it again.
    cluster.await_healthy()
    cluster.kill("node2")
    cluster.await_primary(other_than="node2")
    cluster.shell("pgquorum node start --data /var/lib/postgresql/15/prod", "node2")
    cluster.await_healthy()


main(the_five_minutes)
