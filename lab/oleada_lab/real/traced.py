"""The sweep with strace: a real box on a plain disk, killed at each call that changes it.

Nothing that was written is lost, for the kernel lives on: this finds what a process that
dies in the middle leaves behind, where FUSE finds what a medium forgets. strace counts
the calls of each process apart, so a point names the process too: the boot program, or
the n-th start of the agent.
Source: lab design, 0.2; strace(1), "Tampering".
"""

import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_agent.boot.system import ALIVE

from oleada_lab.boxes import DIES_WITH_PARENT, Box
from oleada_lab.real import calls
from oleada_lab.real.cuts import Cut, shared_out
from oleada_lab.real.scene import WATCHDOG_S, Scene, a_scene, recover, until_dark
from oleada_lab.real.verdict import Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

BOOT: Final = 0
"""The boot program, where else the number of the agent's start stands."""
KILLED: Final = " = ?\n"
"""What strace writes behind a call that did not return."""
AGENT: Final = """\
#!/bin/sh
# Starts the agent, for the boot program; its {start}-th start under strace.
count=$(($(cat '{counter}' 2>/dev/null || echo 0) + 1))
echo "$count" > '{counter}'
if [ "$count" = {start} ]; then
    {strace} '{python}' "$@"
    code=$?
    # Killed: then the whole box loses its power, before the boot program can know.
    [ "$code" -gt 128 ] && kill -KILL 0
    exit "$code"
fi
exec '{python}' "$@"
"""
BOOT_CODE: Final = """\
import sys
from oleada_agent.boot.program import main
sys.executable = sys.argv.pop(1)
sys.exit(main())
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One call at which power is cut, before it is done.

    Attributes:
        start: ``BOOT``, or the number of the agent's start.
        name: Of the call, one of ``calls.KILLED_AT``.
        when: Its number among the calls of that name of that process.
        done: How many operations the disk had seen before it.
    """

    start: int
    name: str
    when: int
    done: int

    @property
    def title(self) -> str:
        """Name the point among those of one life of a box."""
        return f"{self.start} {self.name} {self.when}"


class TracedBox(Box):
    """A box that runs under strace.

    Args:
        options: Of strace, which writes what they say to *log*.
        start: What is traced: everything if None, else one process as in ``Point``.
    """

    def __init__(
        self, scene: Scene, folder: Path, log: Path, options: Sequence[str], start: int | None
    ) -> None:
        super().__init__(folder, scene.console, scene.memory, WATCHDOG_S)
        self._log = log
        self._strace = ["strace", "-q", "-e", "signal=none", "-o", str(log), *options]
        self._start = start

    def command(self) -> list[str]:
        """Return what is started when the box gets power."""
        if self._start is None:
            return [*self._strace, "-f", "--", *DIES_WITH_PARENT, *self.program()]
        # Not with --seccomp-bpf, under which strace 6.1 counts calls but lets them pass; and
        # without -f, for the disk is written by one thread.
        alone = [*self._strace, "--", *DIES_WITH_PARENT]
        if self._start == BOOT:
            return [*alone, *self.program()]
        wrapper, counter = self._log.with_name("agent.sh"), self._log.with_name("starts")
        counter.unlink(missing_ok=True)
        wrapper.write_text(
            AGENT.format(
                start=self._start,
                counter=counter,
                strace=shlex.join([*DIES_WITH_PARENT, *alone]),
                python=sys.executable,
            )
        )
        wrapper.chmod(0o700)
        python, _module, _name, *options = self.program()
        return [python, "-c", BOOT_CODE, str(wrapper), *options]


class TracedStand:
    """One place where boxes are killed: a house and a plain folder.

    Args:
        home: Where lies what strace says of the box.
        box: Where the box lies; beside that if not given.
    """

    def __init__(self, scene: Scene, home: Path, box: Path | None = None) -> None:
        self.scene = scene
        self.home = home
        self.box = box or home / "box"

    def record(self) -> tuple[list[Op], list[Point], Verdict]:
        """Return the changes of one whole update, where to cut it, and how it ended."""
        log = self.home / "recorded.log"
        box = self.new_box(
            log, ["--seccomp-bpf", "-y", "-s", "0", "-e", f"trace={','.join(calls.WATCHED)}"], None
        )
        verdict, _ = recover(self.scene, box)
        found = list(calls.read(log.read_text(errors="replace").splitlines()))
        return calls.changes(found, str(self.box)), points(found, str(self.box)), verdict

    def cut(self, point: Point, before: Sequence[Op]) -> Cut:
        """Cut a new box's power at *point*; return what becomes of it.

        Args:
            before: The changes of a whole update, to name the last one before the cut.
        """
        inject = f"inject={point.name}:signal=KILL:when={point.when}"
        log = self.home / "cut.log"
        box = self.new_box(log, ["-e", f"trace={point.name}", "-e", inject], point.start)
        until_dark(self.scene, box)
        self.scene.go_back(self.scene.known())
        verdict, said = recover(self.scene, self.scene.box_in(self.box))
        was_cut = KILLED in log.read_text(errors="replace")
        after = before[point.done - 1] if was_cut and point.done else None
        return Cut(point.done, after, Kept.ALL, verdict, said, name=point.title)

    def new_box(self, log: Path, options: Sequence[str], start: int | None) -> Box:
        """Return a box from the factory that runs under strace, as ``TracedBox`` has it."""
        shutil.rmtree(self.box, ignore_errors=True)  # its run/ may be a disk of its own
        shutil.copytree(self.scene.factory, self.box, dirs_exist_ok=True)
        self.scene.new_box(self.box)
        log.unlink(missing_ok=True)
        return TracedBox(self.scene, self.box, log, options, start)


def points(found: Sequence[calls.Call], box: str) -> list[Point]:
    """Return where to cut an update: before each call that comes to another disk.

    Args:
        found: Every call of the update, in order.
        box: The folder of the box.
    """
    starts = _starts(found, box)
    reached: Counter[tuple[int, str]] = Counter()
    made: list[Point] = []
    done = 0
    for call in found:
        if call.name in calls.KILLED_AT:
            reached[call.pid, call.name] += 1
            is_new = not made or made[-1].done != done
            if call.pid in starts and is_new:
                when = reached[call.pid, call.name]
                made.append(Point(starts[call.pid], call.name, when, done))
        done += len(calls.changes([call], box))
    return made


def _starts(found: Sequence[calls.Call], box: str) -> dict[int, int]:
    """Return boot program and agents by process id; each agent shows a sign of life."""
    starts = {found[0].pid: BOOT} if found else {}
    for call in found:
        if call.name == "openat" and f"{box}/{ALIVE}" in call.paths:
            starts.setdefault(call.pid, len(starts))
    return starts


@contextmanager
def stands(home: Path, count: int) -> Iterator[list[TracedStand]]:
    """Yield *count* stands that know nothing of each other."""
    with ExitStack() as stack:
        made = []
        for number in range(count):
            place = home / f"stand-{number}"
            made.append(TracedStand(stack.enter_context(a_scene(place)), place))
        yield made


def sweep(
    places: Sequence[TracedStand], chosen: Sequence[Point], before: Sequence[Op]
) -> Iterator[Cut]:
    """Yield what became of the boxes cut at each of *chosen*, as it is found out."""
    return shared_out(places, chosen, lambda place, point: place.cut(point, before))
