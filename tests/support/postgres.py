"""A private PostgreSQL cluster on a free loopback port, for tests and nothing else."""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import psycopg.sql

BIN = Path("/usr/lib/postgresql")
USER = "postgres"
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 200
shared_buffers = 64MB
log_min_messages = warning
"""


class Cluster:
    """A running cluster; makes databases."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._made = 0
        self._spare: list[str] = []
        self._shapes: dict[str, str] = {}

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of *database*."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def create(self, template: str = "template1") -> str:
        """Return the name of a new database that is a copy of *template*."""
        self._made += 1
        name = f"test_{self._made}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, database: str) -> None:
        """Drop *database* with whoever is still connected to it."""
        self.run(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def lend(self, template: str) -> str:
        """Return the name of a database like *template*, for one test."""
        if self._spare:
            return self._spare.pop()
        name = self.create(template)
        with self._connected(name) as connection:
            self._shapes[name] = _shape(connection)
        return name

    def take_back(self, database: str) -> None:
        """Empty a database that was lent, for the next test; drop it when its tables changed.

        Another copy of the template would take sixty times as much.
        """
        self.cut_off(database)
        with self._connected(database) as connection:
            rows = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            delete = psycopg.sql.SQL("DELETE FROM {}")
            statements = [
                psycopg.sql.SQL("SET session_replication_role = replica"),
                *(delete.format(psycopg.sql.Identifier(table)) for (table,) in rows),
                psycopg.sql.SQL("SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"),
            ]
            connection.execute(psycopg.sql.SQL(";").join(statements))
            shape = _shape(connection)
        if shape == self._shapes[database]:
            self._spare.append(database)
        else:
            self.drop(database)

    def _connected(self, database: str) -> psycopg.Connection:
        where = f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"
        return psycopg.connect(where, autocommit=True)

    def cut_off(self, database: str) -> None:
        """End every connection to *database*, as a restart of the server would."""
        where = psycopg.sql.Literal(database)
        self.run(
            psycopg.sql.SQL(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}"
            ).format(where)
        )

    def run(self, statement: str | psycopg.sql.Composed) -> None:
        """Run *statement* in the cluster's own database."""
        with self._connected("postgres") as connection:
            connection.execute(statement)


def _shape(connection: psycopg.Connection) -> str:
    """Return a digest of every table, column and index, and how many triggers there are."""
    row = connection.execute(
        "SELECT md5(string_agg(concat_ws(' ', relname, relkind, attname, atttypid,"
        " attnotnull, attisdropped), ',' ORDER BY relname, attnum)),"
        " (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal),"
        " (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)"
        " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0"
    ).fetchone()
    return str(row)


@contextmanager
def running_cluster(directory: Path) -> Iterator[Cluster]:
    """Yield a new cluster; stopped and removed afterwards.

    In *directory*; for root in a place of its own, since PostgreSQL refuses to be root
    and another user may not walk through root's directories.
    """
    if os.geteuid() == 0:
        home = Path(tempfile.mkdtemp(prefix="oleada-postgresql-"))
        shutil.chown(home, USER)
    else:
        home = directory / "cluster"
        home.mkdir(parents=True)
    _run("initdb", "--auth=trust", f"--username={USER}", "--no-sync", "-D", str(home))
    with (home / "postgresql.conf").open("a") as file:
        file.write(SETTINGS)
    port = free_port()
    log = str(home / "log")
    _run("pg_ctl", "-D", str(home), "-o", f"-p {port}", "-l", log, "-w", "start")
    try:
        yield Cluster(port)
    finally:
        _run("pg_ctl", "-D", str(home), "-m", "immediate", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)


_PORTS = range(20_000, 32_000)
"""Below ``ip_local_port_range`` of Linux, which begins at 32768."""
_place = itertools.count(os.getpid() * 97)


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that nobody is given by chance.

    One that the kernel picks may be picked again, for anybody's next connection, before
    we use it. These are below what it picks from, and each process begins elsewhere.
    """
    for _ in range(len(_PORTS)):
        port = _PORTS[next(_place) % len(_PORTS)]
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program) or max(map(str, BIN.glob(f"*/bin/{program}")), default=None)
    assert found, f"{program} is missing; type: apt-get install postgresql"
    as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_user, found, *arguments],
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, f"{program} failed: {done.stderr.decode()}"
