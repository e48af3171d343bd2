"""A box's file system under FUSE, seen from the lab: mount it, cut its power, mend it."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import MountError
from oleada_lab.real.steps import Logged
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Fault, Op

READY_LIMIT_S = 300
POLL_S = 0.01
STOP_LIMIT_S = 20


class Mount:
    """The medium that is mounted at *folder*; each method is one of ``medium.Medium``."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.folder = folder
        self._process = process

    def load(self, folder: Path) -> None:
        """Hold what lies in *folder*, durably; number operations from 1."""
        self._ask("load", folder=str(folder))

    def keep(self, name: str) -> None:
        """Keep the medium as it is now under *name*."""
        self._ask("keep", name=name)

    def record_as(self, name: str) -> None:
        """Keep the medium after each operation from now on, until it is put back or loses power.

        ``medium.recorded`` says under what names.
        """
        self._ask("record_as", name=name)

    def forget(self, name: str) -> None:
        """Drop what was recorded as *name*."""
        self._ask("forget", name=name)

    def back(self, name: str) -> None:
        """Be as ``keep`` kept it, with power and without faults."""
        self._ask("back", name=name)

    def cut_after(self, number: int | None) -> None:
        """Kill the process group that does operation *number*, right after it."""
        self._ask("cut_after", number=number)

    def cut_at(self, name: str) -> None:
        """Kill the process group that does the operation *name*, as ``steps.Names`` has it."""
        self._ask("cut_at", name=name)

    def lose_power(self, kept: Kept, seed: int = 0) -> str:
        """Lose what the mode *kept* loses; return a digest of what is left."""
        return str(self._ask("lose_power", kept=kept, seed=seed))

    def log(self) -> list[Logged]:
        """Return the operations since the medium was loaded, put back or lost its power."""
        return [Logged(Op(*entry), stage) for *entry, stage in self._ask("log")]

    def moments(self) -> list[float]:
        """Return when each operation of the log was done, in seconds of the steady clock."""
        return [float(moment) for moment in self._ask("moments")]

    def forget_syncs(self, *paths: str) -> None:
        """Be deaf to the syncs of what begins with one of *paths*, until it is put back."""
        self._ask("forget_syncs", paths=paths)

    def strike(self, *faults: Fault) -> None:
        """Refuse *faults* from now on."""
        self._ask("strike", faults=[_told(fault) for fault in faults])

    def cut_in(self, operations: int) -> None:
        """Kill the process group that does the operation so many from now, right after it."""
        self._ask("cut_in", operations=operations)

    def strike_in(self, fault: Fault) -> None:
        """Refuse *fault*, whose number counts from now: 1 is the next operation."""
        self._ask("strike_in", fault=_told(fault))

    def remount_read_only(self) -> None:
        """Refuse every change from now on, as a kernel does after an error."""
        self._ask("remount_read_only")

    def full_after(self, number: int) -> None:
        """Have no room after operation *number*; what is there may still be removed."""
        self._ask("full_after", number=number)

    def read_only_after(self, number: int) -> None:
        """Refuse every change after operation *number*, as a kernel does after an error."""
        self._ask("read_only_after", number=number)

    def mend(self) -> None:
        """Take everything again, and at once."""
        self._ask("mend")

    def slow_sync(self, seconds: float) -> None:
        """Let every fsync take *seconds* longer."""
        self._ask("slow_sync", seconds=seconds)

    def _ask(self, order: str, **asked: Any) -> Any:
        assert self._process.stdin is not None  # noqa: S101 - it was started with pipes
        assert self._process.stdout is not None  # noqa: S101 - it was started with pipes
        try:
            self._process.stdin.write(json.dumps({"do": order, **asked}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or '{"error": "it is gone"}')
        except OSError as error:
            answer = {"error": str(error)}
        if "error" in answer:
            raise MountError(f"The mount at {self.folder.name} refused {order}: {answer['error']}.")
        return answer["ok"]


def _told(fault: Fault) -> dict[str, Any]:
    """Return *fault* as JSON has it, which knows no sets."""
    return {**asdict(fault), "kinds": sorted(fault.kinds)}


@contextmanager
def mounted(folder: Path) -> Iterator[Mount]:
    """Yield an empty medium mounted at *folder*, which is made; unmount it at the end.

    Raises:
        MountError: FUSE does not work here; says what ``oleada-lab doctor`` would say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        _command(folder),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _wait_until_mounted(folder, process)
            yield Mount(folder, process)
        finally:
            _end(folder, process)


def _command(folder: Path) -> Sequence[str]:
    return [
        # On TERM it unmounts; its own end of input may come too late for that.
        *("setpriv", "--pdeathsig", "TERM"),
        *(sys.executable, "-m", "oleada_lab.real.mount_process", str(folder)),
    ]


def _wait_until_mounted(folder: Path, process: "subprocess.Popen[str]") -> None:
    until = monotonic_s() + READY_LIMIT_S
    while not folder.is_mount():
        if process.poll() is not None or monotonic_s() > until:
            process.kill()
            said = process.communicate()[1].strip().splitlines()
            raise MountError(
                f"FUSE does not mount here: {(said or ['it said nothing'])[-1]} "
                "'oleada-lab doctor' says what is missing."
            )
        sleep_s(POLL_S)


def _end(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Let the process unmount and go; unmount for it if it does not."""
    assert process.stdin is not None  # noqa: S101 - it was started with pipes
    try:
        process.stdin.close()
        process.wait(STOP_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
    finally:
        if folder.is_mount():
            subprocess.run(
                ["fusermount3", "-u", "-z", str(folder)], check=False, capture_output=True
            )
