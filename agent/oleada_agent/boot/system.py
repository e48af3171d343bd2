"""The system around the agent: ``run/``, the media player, the watchdog, the agent's process."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from oleada_agent.boot import clock, watchdog
from oleada_agent.boot.choice import Behaviour, Choice, Ended
from oleada_agent.boot.control import ControlDisk
from oleada_agent.boot.errors import ControlError, StorageError
from oleada_agent.boot.watchdog import Watchdog

REBOOT_CODE: Final = 75
"""The agent's exit code that asks for a restart (sysexits.h: EX_TEMPFAIL)."""
BOOT_COUNT: Final = "data/boot_count"
BOOT_COUNT_MAX: Final = 99_999_999
LOG: Final = "run/agent.log"
AGENT: Final = "run/agent.pyz"
BOOTED: Final = "run/booted.json"
ALIVE: Final = "run/agent.alive"
"""The agent's signs of life; the watchdog waits for the first, and for those promised."""
HARDWARE: Final = "boot/hardware.toml"
"""What is peculiar about this box: ``player_fails_on = ["5.8.2"]``."""
POLL_S: Final = 0.05
STOP_LIMIT_S: Final = 10.0
RESTART_PAUSE_S: Final = 1.0
PR_SET_PDEATHSIG: Final = 1
CRASH: Final = (sys.executable, "-c", "import os; os.write(2, b'the system died\\n'); os.abort()")
HANG: Final = ("sleep", "infinity")


class BootDisk(ControlDisk, Protocol):
    """What the boot program needs of ``ports.Disk`` beyond boot control."""

    def unlink(self, path: str) -> None:
        """Remove the file, if it is there."""

    def rename(self, old: str, new: str) -> None:
        """Give the file a new name, over any file there, at once or not at all."""
        ...


@dataclass(frozen=True, slots=True)
class BootedFile:
    """``run/booted.json``: what the boot program tells the agent."""

    slot: str
    version: str
    hardware_model: str
    security_version: int
    behaviour: str
    boot_id: str
    boot_reason: str
    successful: bool
    fell_back: bool
    after_watchdog: bool
    provides: tuple[str, ...] = ()
    put_back: bool = False
    trouble: tuple[str, ...] = ()


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the power of the box at *folder*.

    Raises:
        ControlError: another boot program holds it.
    """
    (folder / "boot").mkdir(exist_ok=True)
    with (folder / "boot" / "power.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ControlError(
                f"The box at {folder} already has power; switch it off first."
            ) from error
        yield


def empty_run(folder: Path) -> None:
    """Empty what does not survive a power cut."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    (folder / "run").mkdir(exist_ok=True)


def prepare_run(disk: BootDisk, found: Choice, nonce: str) -> BootedFile:
    """Fill ``run/`` for the boot of *found*, and return what was told to the agent.

    Args:
        nonce: 8 hex digits, of chance: tells boots apart whose count was lost.
    """
    trouble = list(found.passed_over)
    booted = BootedFile(
        slot=found.slot,
        version=found.release.version,
        hardware_model=found.release.hardware_model,
        security_version=found.release.security_version,
        behaviour=str(found.release.behaviour),
        boot_id=f"{_raise_boot_count(disk, trouble):08d}-{nonce}",
        boot_reason=_reason(found),
        successful=found.was_successful,
        fell_back=found.fell_back,
        after_watchdog=found.before is Ended.WATCHDOG,
        provides=found.release.provides,
        put_back=found.put_back,
        trouble=tuple(trouble),
    )
    told = json.dumps(asdict(booted), sort_keys=True).encode()
    said = "".join(f"{line}\n" for line in trouble).encode()  # an agent may never read the other
    for path, data in ((AGENT, found.agent), (BOOTED, told), (LOG, said)):
        disk.create(path)
        disk.pwrite(path, 0, data)
    return booted


def _reason(found: Choice) -> str:
    if found.fell_back:
        return "fallback"
    if found.before is Ended.POWER:
        return "power_on"
    if found.before is Ended.WATCHDOG:
        return "watchdog"
    return "reboot" if found.was_successful else "update"


def _raise_boot_count(disk: BootDisk, trouble: list[str]) -> int:
    """Return the number of this boot; what kept it from being stored is added to *trouble*."""
    count = 0
    with suppress(StorageError):
        if disk.exists(BOOT_COUNT):
            text = disk.read(BOOT_COUNT, 0, 20).decode(errors="replace").strip()
            count = int(text) if text.isdecimal() and text.isascii() else 0
    count = min(count + 1, BOOT_COUNT_MAX)
    try:
        write_whole(disk, BOOT_COUNT, f"{count}\n".encode())
    except StorageError as error:  # a full disk keeps no box dark; the nonce tells boots apart
        trouble.append(f"the boot can not be counted: {error}")
    return count


def write_whole(disk: BootDisk, path: str, data: bytes) -> None:
    """Make *path* hold *data*, durably: the old bytes or the new ones, never a part."""
    beside = f"{path}.tmp"
    try:
        disk.create(beside)
        disk.pwrite(beside, 0, data)
        disk.fsync(beside)
        disk.rename(beside, path)
    except StorageError:
        with suppress(StorageError):
            disk.unlink(beside)
        raise
    disk.fsync_dir(path.rpartition("/")[0])


def run_image(
    folder: Path,
    found: Choice,
    *,
    watchdog_s: float,
    is_switched_off: Callable[[], bool],
    is_proven: Callable[[], bool],
) -> Ended:
    """Run the system of *found* until it ends, and return how.

    An agent that dies is restarted alone in a slot that has proven itself; in one on
    trial the box restarts, which costs a try.
    """
    while True:
        ended = _run_once(folder, found, watchdog_s, is_switched_off)
        if ended is not Ended.WATCHDOG or not is_proven():
            return ended
        if _waited(RESTART_PAUSE_S, is_switched_off):
            return Ended.POWER


def _run_once(
    folder: Path, found: Choice, watchdog_s: float, is_switched_off: Callable[[], bool]
) -> Ended:
    (folder / ALIVE).unlink(missing_ok=True)
    if _has_player(folder, found):
        (folder / "run" / "player.ready").touch()
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            _command(folder, found.release.behaviour),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=_dies_with(os.getpid()),  # noqa: PLW1509 - there is one thread
        )
    try:
        return _watch(process, folder / ALIVE, watchdog_s, is_switched_off)
    finally:
        _stop(process)


def _command(folder: Path, behaviour: Behaviour) -> Sequence[str]:
    agent = (sys.executable, str(folder / "run" / "agent.pyz"), "run", "--box", str(folder))
    match behaviour:
        case Behaviour.HANG:
            return HANG
        case Behaviour.CRASH:
            return CRASH
        case Behaviour.NO_NETWORK:  # a network of its own with nothing in it
            own = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
            return (*own, "--", *agent)
        case _:
            return agent


def _watch(
    process: subprocess.Popen[bytes],
    alive: Path,
    watchdog_s: float,
    is_switched_off: Callable[[], bool],
) -> Ended:
    dog = Watchdog(watchdog_s, clock.steady_s())
    sign: watchdog.Sign | None = None
    while True:
        if is_switched_off():
            return Ended.POWER
        code = process.poll()
        if code is not None:
            return Ended.REBOOT if code == REBOOT_CODE else Ended.WATCHDOG
        sign = watchdog.look(alive, sign)
        if dog.bites(sign, clock.steady_s()):
            return Ended.WATCHDOG
        clock.pause(POLL_S)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End *process* as init does: asked first."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _has_player(folder: Path, found: Choice) -> bool:
    """Return whether the media player of this image gets ready on this box."""
    if found.release.behaviour is Behaviour.UNHEALTHY:
        return False
    path = folder / HARDWARE
    if not path.exists():
        return True
    try:
        value = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{HARDWARE} can not be read: {error}.") from error
    return found.release.version not in value.get("player_fails_on", [])


def _waited(seconds: float, is_switched_off: Callable[[], bool]) -> bool:
    """Wait *seconds*; return whether the box was switched off meanwhile."""
    until = clock.steady_s() + seconds
    while clock.steady_s() < until and not is_switched_off():
        clock.pause(POLL_S)
    return is_switched_off()


def _dies_with(parent: int) -> Callable[[], None]:
    """Return what lets the kernel kill the agent when the boot program *parent* is gone."""
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before it could be asked for
            os._exit(1)

    return prepare
