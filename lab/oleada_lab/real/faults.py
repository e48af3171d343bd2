"""A disk that fails under a real box: once, when it is full, when it is read-only, when it is slow.

A fault strikes at one operation of an update. The box may come to its goal all the same;
else it must say in words what the disk said, in its log or in its verdict, and after the
disk is mended and the box switched off and on, the update must succeed, assigned anew if
it had failed. A trace of a programming error is never a clear word.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from oleada_lab.boxes import Box
from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.real.cuts import Cut, Recording, Stand, shared_out
from oleada_lab.real.mount import Mount
from oleada_lab.real.patience import Patience, delays_of
from oleada_lab.real.scene import LIMIT_S, Scene
from oleada_lab.real.steps import Logged
from oleada_lab.real.verdict import Fate, Verdict, judge
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import IO_ERROR, Fault

POLL_S: Final = 0.05
SLOW_SYNC_S: Final = 0.2
"""Of every fsync: twenty seconds of waiting in one update."""
SAID_CHARS: Final = 2_000
TRACE: Final = "Traceback"
AGENT_LOG: Final = "run/agent.log"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One way in which a disk fails.

    Attributes:
        code: What the system calls it; None when nothing is refused.
        begin: Lets it strike at an operation.
        is_pointed: It strikes at one operation; else it is there all the time.
        refuses: What it refuses of all that follows; nothing if it strikes once.
    """

    name: str
    code: int | None
    begin: Callable[[Mount, int], None]
    is_pointed: bool = True
    refuses: frozenset[str] = frozenset()


GROWS: Final = frozenset({"create", "mkdir", "pwrite"})
CHANGES: Final = GROWS | {"truncate", "rename", "unlink"}
TROUBLES: Final = (
    Trouble("eio", errno.EIO, lambda mount, number: mount.strike(Fault(number, IO_ERROR))),
    Trouble("enospc", errno.ENOSPC, lambda mount, n: mount.full_after(n), refuses=GROWS),
    Trouble("erofs", errno.EROFS, lambda mount, n: mount.read_only_after(n), refuses=CHANGES),
    Trouble("slow", None, lambda mount, _: mount.slow_sync(SLOW_SYNC_S), is_pointed=False),
)


def tasks(numbers: Sequence[int], log: Sequence[Logged]) -> list[tuple[Trouble, int]]:
    """Return in which ways a disk is to fail at which of the operations *numbers* of *log*.

    Where the first operation that a trouble refuses is the same, what follows is too: of
    these numbers one is left.
    """
    found: dict[tuple[str, int], tuple[Trouble, int]] = {}
    for number in numbers:
        for trouble in TROUBLES:
            found.setdefault((trouble.name, _strikes_at(trouble, number, log)), (trouble, number))
    return list(found.values())


def _strikes_at(trouble: Trouble, number: int, log: Sequence[Logged]) -> int:
    """Return the operation that *trouble* refuses first; 0 if it refuses none."""
    if not trouble.is_pointed:
        return 0
    if not trouble.refuses:
        return number
    return next((op.number for op, _ in log[number:] if op.kind in trouble.refuses), 0)


def sweep(
    places: Sequence[Stand], wanted: Sequence[tuple[Trouble, int]], life: Recording
) -> Iterator[Cut]:
    """Yield what became of boxes whose disk failed as *wanted*.

    Args:
        life: An undisturbed one, to name the operations.
    """

    def one(place: Stand, task: tuple[Trouble, int]) -> Cut:
        trouble, number = task
        verdict, said = suffer(place, trouble, number)
        after, stage = life.log[number - 1]
        return Cut(
            number, after, Kept.ALL, verdict, said,
            stage=stage, fault=trouble.name, name=life.names[number - 1],
        )  # fmt: skip

    return shared_out(places, wanted, one)


def suffer(place: Stand, trouble: Trouble, number: int) -> tuple[Verdict, str]:
    """Return what becomes of a box whose disk is in *trouble* from operation *number* on."""
    box = place.new_box()
    trouble.begin(place.mount, number)

    def mended() -> Box:
        place.mount.mend()
        return box

    try:
        box.power_on()
        return endure(place.scene, box, trouble.code, mended)
    finally:
        box.power_cut()
        place.mount.mend()


def endure(
    scene: Scene, box: Box, code: int | None, mended: Callable[[], Box]
) -> tuple[Verdict, str]:
    """Return what becomes of *box*, which runs on a disk that fails.

    Args:
        code: What the system calls it; None when nothing is refused.
        mended: Mends the disk of the box, which is off, and returns the box.
    """
    words = clear_words(code)
    said = _until_told(scene, box, words)
    verdict = judge(scene.look(box), scene.goal)
    was_helped = verdict.fate is not Fate.WELL
    if was_helped:
        box.power_off()
        box = mended()
        try:
            verdict = _again(scene, box)
            said += _log(box) + box.console()
        finally:
            box.power_cut()
    if why := unclear(words, said, was_helped):
        verdict = Verdict(Fate.STUCK, why)
    return verdict, "" if verdict.fate is Fate.WELL else said[-SAID_CHARS:]


def clear_words(code: int | None) -> tuple[str, ...]:
    """Return what a box may say of *code* so that a person knows; nothing if none is needed."""
    if code is None:
        return ()
    looked = ("bytes are free",) if code == errno.ENOSPC else ()  # it looked before it wrote
    return (os.strerror(code), *looked)


def _until_told(scene: Scene, box: Box, words: Sequence[str]) -> str:
    """Return what *box* says until it is at its goal, off, has failed, or has said *words*."""
    patience = Patience(LIMIT_S, monotonic_s())
    heard = ""
    while box.is_on and scene.rest(box) is None:
        if patience.is_out(monotonic_s(), lambda: delays_of(box.pid)):
            break
        heard = max(heard, _log(box), key=len)
        details = " ".join(report.detail for report in scene.known().reports)
        if any(one in heard + details for one in words):
            return heard + details
        sleep_s(POLL_S)
    details = " ".join(report.detail for report in scene.known().reports)
    return heard + box.console() + details


def _again(scene: Scene, box: Box) -> Verdict:
    """Return what becomes of *box* on a disk that has been mended."""
    if any(report.phase.is_final for report in scene.known().reports):
        scene.assign_again()
    box.power_on()
    return judge(scene.wait(box) or scene.look(box), scene.goal)


def unclear(words: Sequence[str], said: str, was_helped: bool) -> str:
    """Return why what the box said is no clear word; empty when it is one, or none was needed."""
    if TRACE in said:
        return "The box answered with the trace of a programming error."
    if was_helped and not any(one in said for one in words):
        return f"The box did not come to its goal, and did not say {' or '.join(words)!r}."
    return ""


def _log(box: Box) -> str:
    try:
        return (box.directory / AGENT_LOG).read_text(errors="replace")
    except OSError:  # there is none yet, or the box restarts
        return ""
