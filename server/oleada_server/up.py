"""``oleada up``: the whole server on one machine, in one command, leaving nothing behind.

Makes ready what is missing, then supervises Mosquitto, console, device door, worker and
scheduler. One ``up`` a data directory, held by a file lock that ends with its process.
"""

import fcntl
import os
import resource
import shutil
import signal
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from oleada_server import alive, broker, clock, copies, gate, initialise, listening
from oleada_server import config as settings
from oleada_server.app import WITHOUT_PAGES, create_app
from oleada_server.config import Config
from oleada_server.db import db
from oleada_server.errors import ConflictError, ServerError
from oleada_server.processes import Child
from oleada_server.renewal import Renewal
from oleada_server.restored import check_finished

READY_S: Final = 60.0
PORT_FREE_S: Final = 10.0
WATCH_S: Final = 0.2
PORT_TRIES: Final = 5
LISTENERS: Final = {
    "broker": ("broker_services_port", "broker_port"),
    "web": ("web_port",),
    "door": ("door_port",),
}
"""By child: the settings of the ports that it listens on."""
TELL_OF_LIFE: Final = ("worker", "scheduler")
"""Children that show signs of life; gunicorn looks after its own."""
GRACE_S: Final = 3
"""How long open requests, event streams above all, may go on when the server stops."""
DOOR_LOG: Final = '%(t)s %(h)s "%(r)s" %(s)s %(b)s bytes in %(D)s us, range %({range}i)s'
"""One line a request: a download that resumes shows where it went on."""
MOSQUITTO_PLACES: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class AlreadyUpError(ConflictError):
    """Another ``oleada up`` holds the data directory."""

    code = "already-up"


class NotReadyError(ServerError):
    """A part did not start."""

    status = 500
    code = "not-ready"


class PortTakenError(NotReadyError):
    """Another program has the port of *setting*."""

    code = "port-taken"

    def __init__(self, setting: str, host: str, port: int) -> None:
        self.setting = setting
        super().__init__(
            f"Port {port} of {host} is taken by another program; stop that, or change "
            f"{setting} in oleada.toml."
        )


def up(directory: Path, say: Callable[[str], None]) -> None:
    """Run the server of *directory* until SIGINT or SIGTERM; *say* prints a line.

    Raises:
        AlreadyUpError: another one runs on this directory.
        NotReadyError: a part did not start; says which, and the end of its log.
    """
    with _only_one(directory):
        _open_many_files()
        stopped = _Stop()
        copies.preload()
        config, children = _bring_up(directory, stopped, say)
        try:
            renewal = Renewal(config, clock.monotonic_s())
            queue = listening.LongQueue(say)
            watch = gate.Watch(config)
            while not stopped.asked:
                queue.turn(children[0].pid)
                again = renewal.turn(clock.monotonic_s(), clock.now_utc, say)
                for child in children:
                    if child.name in again:
                        child.stop()
                    _mend_store(config, child, say)
                    if sentence := child.watch(clock.monotonic_s()):
                        say(sentence)
                watch.turn(children[0])
                clock.wait_s(WATCH_S)
            say("Stopping …")
        finally:
            stopped.asked = True
            _stop(children)
        say("Stopped.")


def prepare(directory: Path, anew: frozenset[str] = frozenset()) -> Config:
    """Return the settings of *directory* after everything that was missing has been made.

    Args:
        directory: The data directory.
        anew: Ports to choose again, though the file names them.
    """
    check_finished(directory)
    config = settings.load(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = initialise.choose_ports(config, settings.given(directory) - anew)
    app = create_app(config, WITHOUT_PAGES)
    initialise.initialise(app, clock.now_utc())
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    return config


def web_command(config: Config) -> list[str]:
    """Return the command that runs console and REST."""
    return [
        *_gunicorn(config.web_host, config.web_port, config.web_threads),
        *("--workers", str(config.web_workers)),
        "oleada_server.app:create_app()",
    ]


def door_command(config: Config) -> list[str]:
    """Return the command that runs the device door."""
    return [
        *_gunicorn(config.door_host, config.door_port, config.door_threads),
        *("--certfile", str(config.pki_dir / "door.pem")),
        *("--keyfile", str(config.pki_dir / "door.key")),
        *("--ca-certs", str(config.pki_dir / "device-ca.pem")),
        *("--cert-reqs", str(int(ssl.CERT_OPTIONAL))),
        *("--access-logfile", "-", "--access-logformat", DOOR_LOG),
        "oleada_server.app:create_door()",
    ]


def broker_command(config: Config) -> list[str]:
    """Return the command that runs Mosquitto.

    Raises:
        NotReadyError: Mosquitto is not installed.
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), *MOSQUITTO_PLACES])
    program = shutil.which("mosquitto", path=path)
    if program is None:
        raise NotReadyError("Mosquitto is missing; type: apt-get install mosquitto")
    return [program, "-c", str((config.broker_dir / broker.CONFIGURATION).resolve())]


class _Stop:
    """Whether SIGINT or SIGTERM has come."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def _open_many_files() -> None:
    """Let the children open as many files as they may: each box is one to the broker."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _only_one(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyUpError(
                f"Another 'oleada up' runs on {directory}; stop it first, or set "
                "OLEADA_DATA_DIR to another directory."
            ) from error
        yield


def _children(config: Config) -> list[Child]:
    environ = {**os.environ, "OLEADA_DATA_DIR": str(config.data_dir.resolve())}
    ours = [sys.executable, "-m", "oleada_server"]
    commands = {
        "broker": broker_command(config),
        "web": web_command(config),
        "door": door_command(config),
        "worker": [*ours, "worker"],
        "scheduler": [*ours, "scheduler"],
    }
    return [
        Child(
            name,
            command,
            environ,
            config.logs_dir / f"{name}.log",
            alive.Ear() if name in TELL_OF_LIFE else None,
            is_copy=name != "broker",
        )
        for name, command in commands.items()
    ]


def _bring_up(
    directory: Path, stopped: _Stop, say: Callable[[str], None]
) -> tuple[Config, list[Child]]:
    """Return the settings of *directory*, and its children, all ready.

    A port that was free when it was chosen may be taken when a child wants it. If it was
    chosen just now nobody knows it yet, and another one is as good.
    """
    ours: frozenset[str] = frozenset()
    for tries_left in reversed(range(PORT_TRIES)):
        ours |= initialise.PORTS.keys() - settings.given(directory)
        config = prepare(directory, ours)
        children = _children(config)
        try:
            _start(config, children, stopped, say, ours)
        except PortTakenError as error:
            _stop(children)
            if error.setting not in ours or not tries_left:
                raise
            say(f"Another program has just taken the port of {error.setting}; choosing another.")
        except BaseException:
            _stop(children)
            raise
        else:
            return config, children
    raise AssertionError("the last try returns or raises")


def _stop(children: list[Child]) -> None:
    for child in reversed(children):
        child.stop()


def _start(
    config: Config,
    children: list[Child],
    stopped: _Stop,
    say: Callable[[str], None],
    ours: frozenset[str],
) -> None:
    """Start *children* and return when all are ready; *ours* are ports chosen just now."""
    ready_file = config.data_dir / "run" / "worker-1.ready"
    ready_file.unlink(missing_ok=True)
    deadline_s = clock.monotonic_s() + PORT_FREE_S
    for name in initialise.PORTS:
        _wait_for_port(config, name, 0.0 if name in ours else deadline_s)
    for child in children:
        child.start()
    deadline_s = clock.monotonic_s() + READY_S
    for child in children:
        while not (ready_file.exists() if child.name == "worker" else _listens(config, child)):
            if stopped.asked:
                return
            if _mend_store(config, child, say):
                child.start()
            _check_alive(config, child, deadline_s)
            clock.wait_s(WATCH_S / 2)
    say(f"Oleada is ready: {config.console_url}")
    say(f"  device door  {config.door_url}")
    say(f"  broker       {config.public_host}:{config.broker_port}")
    say(f"  logs         {config.logs_dir}")


def _place(config: Config, setting: str) -> tuple[str, int]:
    """Return address and port of *setting*."""
    host_name = initialise.PORTS[setting]
    host = getattr(config, host_name) if host_name else broker.SERVICES_HOST
    return host, getattr(config, setting)


def _listens(config: Config, child: Child) -> bool:
    """Return whether *child* itself listens where it should; another program may answer there."""
    pid = child.pid
    ports = [_place(config, name)[1] for name in LISTENERS.get(child.name, ())]
    return pid is not None and all(listening.listens(pid, port) for port in ports)


def _mend_store(config: Config, child: Child, say: Callable[[str], None]) -> bool:
    """Let a broker that ended over a damaged store begin without it; return whether it did."""
    code = child.ended()
    if child.name != "broker" or code is None:
        return False
    if not broker.is_store_damaged(code, child.said()):
        return False
    aside = broker.set_store_aside(config)
    if aside is None:
        return False
    say(f"The broker's store was damaged and is now {aside}; the database fills the broker again.")
    return True


def _check_alive(config: Config, child: Child, deadline_s: float) -> None:
    code = child.ended()
    if code is None and clock.monotonic_s() < deadline_s:
        return
    for name in LISTENERS.get(child.name, ()):
        if not initialise.is_free(*_place(config, name)):
            raise PortTakenError(name, *_place(config, name))
    what = "is not ready in time" if code is None else f"ended with exit code {code}"
    raise NotReadyError(f"The {child.name} {what}. The end of its log:\n{child.log_tail()}")


def _wait_for_port(config: Config, setting: str, deadline_s: float) -> None:
    """Wait while a server that was killed just now lets go of the port of *setting*."""
    while not initialise.is_free(*_place(config, setting)):
        if clock.monotonic_s() > deadline_s:
            raise PortTakenError(setting, *_place(config, setting))
        clock.wait_s(WATCH_S)


def _gunicorn(host: str, port: int, threads: int) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn"),
        *("--worker-class", "oleada_server.patient_worker.PatientWorker"),
        *("--threads", str(threads), "--no-sendfile"),
        *("--config", "python:oleada_server.patient_worker"),
        *("--bind", f"{host}:{port}"),
        *("--graceful-timeout", str(GRACE_S)),
        *("--log-level", "warning"),
        "--no-control-socket",
    ]
