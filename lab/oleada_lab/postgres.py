"""A private PostgreSQL cluster that can be killed and started again.

On a free loopback port. For root in a place of its own, since PostgreSQL refuses to be
root and another user may not walk through root's folders. A commit is durable when it is
answered, as on a real server.
"""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
import psycopg

from oleada_lab.errors import LabError
from oleada_lab.operator import wait_until

BIN: Final = Path("/usr/lib/postgresql")
USER: Final = "postgres"
DATABASE: Final = "oleada"
READY_LIMIT_S: Final = 60
GONE_LIMIT_S: Final = 30
_SETTINGS: Final = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
log_min_messages = warning
"""


class Cluster:
    """One cluster, whose server is a child of this process.

    Args:
        folder: Where it lies, unless this process is root's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port: int = found.getsockname()[1]

    @property
    def url(self) -> str:
        """The setting ``database_url`` of a server that uses this cluster."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self._port}/{DATABASE}"

    @property
    def _home(self) -> Path:
        return self.folder / "cluster"

    @property
    def is_running(self) -> bool:
        """Whether its server runs."""
        return self._process is not None and self._process.poll() is None

    def make(self) -> None:
        """Make the cluster, start it and make its database.

        Raises:
            LabError: PostgreSQL is missing or does not start.
        """
        if os.geteuid() == 0:
            self.folder = Path(tempfile.mkdtemp(prefix="oleada-lab-postgresql-"))
            shutil.chown(self.folder, USER)
        else:
            self.folder.mkdir(parents=True)
        home = str(self._home)
        command = [_program("initdb"), "--auth=trust", f"--username={USER}", "-D", home]
        done = subprocess.run(
            [*_as_user(), *command], cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise LabError(f"initdb failed: {done.stderr.strip()[-400:]}")
        with (self._home / "postgresql.conf").open("a") as file:
            file.write(f"{_SETTINGS}port = {self._port}\n")
        self.start()
        with psycopg.connect(self._place("postgres"), autocommit=True) as connection:
            connection.execute('CREATE DATABASE "oleada"')

    def start(self) -> None:
        """Start the server and return when it answers.

        Raises:
            LabError: It does not in time.
        """
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_user(), _program("postgres"), "-D", str(self._home)],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._answers, READY_LIMIT_S, "PostgreSQL answers")

    def kill(self) -> None:
        """Kill every process of the cluster; what was not committed is lost."""
        if self._process is None:
            return
        server = psutil.Process(self._process.pid)
        server.suspend()  # or it would start others while we kill
        all_of_it = [*server.children(recursive=True), server]
        for process in all_of_it:
            with suppress(psutil.NoSuchProcess):  # one that was ending anyway
                process.kill()
        self._process.wait(GONE_LIMIT_S)
        psutil.wait_procs(all_of_it, timeout=GONE_LIMIT_S)
        self._process = None

    def remove(self) -> None:
        """Kill the server and remove all that it has stored."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise LabError(f"PostgreSQL has ended; read {self.folder / 'log'}.")
        try:
            psycopg.connect(self._place("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _place(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self._port}/{database}"


def _as_user() -> list[str]:
    """Return what runs a command as the database's user, and ends it when we end."""
    if os.geteuid() != 0:
        return ["setpriv", "--pdeathsig", "INT"]
    who = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return ["setpriv", *who, "--pdeathsig", "INT"]


def _program(name: str) -> str:
    """Return the newest PostgreSQL's program *name*.

    Raises:
        LabError: It is not installed.
    """
    found = max(map(str, BIN.glob(f"*/bin/{name}")), default=None) or shutil.which(name)
    if found is None:
        raise LabError(f"{name} is missing; type: apt-get install postgresql")
    return found
