"""Operations of one disk, spelt so that those of another can be held against them. Pure.

The real box and the simulated one install images of other sizes, draw other names and
are answered at other moments. What must be the same is told here: which kinds of
operations each file sees and in which order they first come, and, for all that decides
what boots, the stage of the machine at which they come.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from oleada_agent.errors import StorageError
from oleada_agent.journal import Journal
from oleada_agent.ports import Disk

from oleada_lab.sim.disk import Op, SimDisk

VOLATILE: Final = "run"
"""The folder of a box that lies in memory."""
JOURNAL: Final = "data/journal."
LEFT_OUT: Final = {
    "boot/power.lock": "the kernel's lock keeps two boot programs apart; nothing is read from it",
    "data/boots.json": "counts for people, once a boot; nothing is decided by them",
    "data/outbox/health": "telemetry goes by the clock, and decides nothing",
    "data/outbox/log": "telemetry goes by the clock, and decides nothing",
}
"""Roles that have no place in the comparison, and why."""
DECISIVE: Final = (
    "data/journal", "slots/b.img", "boot/control", "data/first-block", "data/boot_count",
    "data/outbox/report",
)  # fmt: skip
"""Roles whose order among each other is compared: what boots, and what is told of it."""
_MESSAGE: Final = re.compile(r"(data/outbox/)\d+-([a-z]+)-[0-9a-f]{32}")
_TURN: Final = re.compile(r"(data/journal|boot/control|data/trust/floor|data/last-command)\.[01]")


class Logged(NamedTuple):
    """An operation, and the stage of the machine as the journal said then."""

    op: Op
    stage: str


class Step(NamedTuple):
    """What an operation is, whatever the names and sizes.

    Attributes:
        stage: Of the machine; empty where it is not compared.
        role: The file; of files that take turns, both.
    """

    stage: str
    kind: str
    role: str


def stage_after(op: Op, disk: SimDisk, before: str) -> str:
    """Return the stage that the journal names after *op*; it was *before* until then."""
    if op.kind != "rename" or not op.to.startswith(JOURNAL):
        return before
    with suppress(ValueError, KeyError):
        return str(json.loads(disk.read(op.to))["state"]["stage"]["name"])
    return before


def stage_of(disk: Disk) -> str:
    """Return the stage that the journal on *disk* names; empty when there is none."""
    try:
        state = Journal(disk).peek()
    except StorageError:  # a file was replaced while it was read
        return ""
    return "" if state is None else type(state.stage).__name__


def role(path: str) -> str:
    """Return which file *path* is, without what differs from box to box."""
    return _TURN.sub(r"\1", _MESSAGE.sub(r"\1\2", path))


class Names:
    """Names the operations of one life: which one of its kind on its file each is.

    Two lives of a box number their operations otherwise, for messages come when they
    come; the name is the same in both.
    """

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()

    def of(self, op: Op) -> str:
        """Return the name of the next operation."""
        what = f"{op.kind} {role(op.path)}"
        self._counted[what] += 1
        return f"{what} {self._counted[what]}"


def names(log: Iterable[Logged]) -> list[str]:
    """Return the names of the operations of *log*, a life from its beginning."""
    found = Names()
    return [found.of(op) for op, _ in log]


def step(logged: Logged) -> Step | None:
    """Return what an operation is; None for what is not compared."""
    op = logged.op
    name = role(op.path)
    whole = name.removesuffix(".tmp")
    if whole in LEFT_OUT or op.path.startswith(f"{VOLATILE}/"):
        return None
    # When an acknowledgement comes is the network's affair; that it removes is the box's.
    is_decisive = whole in DECISIVE and op.kind != "unlink"
    return Step(logged.stage if is_decisive else "", op.kind, name)


def steps(log: Iterable[Logged]) -> list[Step]:
    """Return the steps of *log*, each where it first comes.

    A sync of what was not changed is left out: it makes nothing durable, and debugfs
    does it to every image that it has read.
    """
    found: dict[Step, None] = {}
    changed: set[str] = set()
    for logged in log:
        op = logged.op
        if op.kind == "fsync" and op.path not in changed:
            continue
        _note(op, changed)
        if (one := step(logged)) is not None:
            found.setdefault(one)
    return list(found)


def differences(real: Sequence[Step], simulated: Sequence[Step]) -> list[str]:
    """Return a sentence for each way in which two boxes wrote differently; must be none."""
    said = []
    names = sorted({one.role for one in (*real, *simulated)})
    for name in names:
        ours, theirs = ([one for one in log if one.role == name] for log in (real, simulated))
        if ours != theirs:
            said.append(f"{name}: really {_spelt(ours)}; simulated {_spelt(theirs)}")
    ours, theirs = ([one for one in log if one.stage] for log in (real, simulated))
    if not said and ours != theirs:
        at = next(i for i, pair in enumerate(zip(ours, theirs, strict=True)) if len({*pair}) > 1)
        said.append(
            f"in another order: really {_spelt(ours[at:])}; simulated {_spelt(theirs[at:])}"
        )
    return said


def _note(op: Op, changed: set[str]) -> None:
    match op.kind:
        case "create" | "pwrite" | "truncate":
            changed.add(op.path)
        case "rename" if op.path in changed:
            changed.remove(op.path)
            changed.add(op.to)
        case "fsync" | "unlink":
            changed.discard(op.path)
        case _:
            pass


def _spelt(found: Sequence[Step]) -> str:
    words = [" ".join(word for word in one if word) for one in found[:8]]
    return f"[{', '.join(words)}]"
