"""What became of a box whose power was cut: pure judgement of what was seen.

The goal of every cut point is the same, for all faults have stopped: the box runs the
release that was assigned, says so, and has told the server exactly one verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from oleada_wire.messages import Hello, Report
from oleada_wire.words import Phase, Reason

IDLE = "Idle"


class Fate(StrEnum):
    """How one cut point ended."""

    WELL = "well"
    BRICK = "brick"
    STUCK = "stuck"
    LIE = "lie"


@dataclass(frozen=True, slots=True)
class Goal:
    """What the box is to become, and to say.

    Attributes:
        sha256: Of the whole image; 64 lowercase hex digits.
        phase: Of the one verdict.
        reason: Of the one verdict; None for an update that was kept.
    """

    version: str
    sha256: str
    phase: Phase = Phase.UPDATED
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the lab saw of a box after its power had returned.

    Attributes:
        hellos: What the box said it runs, in order.
        reports: Every report that the server ever had of this box, before the cut too.
        before: How many of these were told before the power went.
        booted: Slot and version that the boot program named last; None when it named none.
        slot_sha256: Of the image in the slot that was booted; empty when it holds none.
        stage: Of the machine, by its journal; empty when there is none.
        is_proven: Boot control calls the booted slot successful.
        is_on: The boot program still runs.
        left: What a cut left on the disk and nobody has cleared away, or acknowledged.
        said: The end of the console, for people.
    """

    hellos: tuple[Hello, ...]
    reports: tuple[Report, ...]
    booted: tuple[str, str] | None
    slot_sha256: str
    stage: str
    is_proven: bool
    is_on: bool
    said: str = ""
    left: tuple[str, ...] = ()
    before: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fate, and one sentence why; empty when all is well."""

    fate: Fate
    why: str = ""


def judge(seen: Seen, goal: Goal) -> Verdict:
    """Return what became of the box; the worst first, for a brick can not lie."""
    if seen.booted is None or (not seen.is_on and not seen.hellos):
        return Verdict(Fate.BRICK, "No slot started an agent that spoke.")
    verdicts = distinct(seen.reports)
    lie = _lie(seen, goal, verdicts)
    if lie:
        return Verdict(Fate.LIE, lie)
    stuck = _stuck(seen, goal, verdicts)
    return Verdict(Fate.STUCK, stuck) if stuck else Verdict(Fate.WELL)


def distinct(reports: Sequence[Report]) -> list[Report]:
    """Return the verdicts among *reports* that the server counts, each once.

    Assignment, attempt and step tell duplicates, as in the server's table.
    """
    found: dict[tuple[str, int, int], Report] = {}
    for report in reports:
        if report.phase.is_final:
            found.setdefault((report.assignment_id, report.attempt, report.step), report)
    return list(found.values())


def is_done(seen: Seen, goal: Goal) -> bool:
    """Return whether nothing more has to come."""
    return not _stuck(seen, goal, distinct(seen.reports))


def ends_badly(report: Report, goal: Goal) -> bool:
    """Return whether *report* ends an attempt otherwise than *goal* says."""
    return report.phase.is_final and report.phase is not goal.phase


def _lie(seen: Seen, goal: Goal, verdicts: Sequence[Report]) -> str:
    if len(verdicts) > 1:
        told = ", ".join(f"{report.phase} (step {report.step})" for report in verdicts)
        return f"The server was told {len(verdicts)} verdicts: {told}."
    slot, version = seen.booted or ("", "")
    if seen.hellos and seen.hellos[-1].version != version:
        return f"The box says it runs {seen.hellos[-1].version}; slot {slot} holds {version}."
    # What was told before the power went was true then; a medium that forgets it later
    # leaves a box that is not where it should be.
    old = distinct(seen.reports[: seen.before])
    for report in verdicts[len(old) :]:
        is_there = (version, seen.slot_sha256) == (goal.version, goal.sha256)
        is_right = is_there and report.phase is goal.phase
        if report.phase is Phase.UPDATED and not is_right:
            return f"The box says it was updated; slot {slot} runs {version}."
    return ""


def _stuck(seen: Seen, goal: Goal, verdicts: Sequence[Report]) -> str:
    if not seen.hellos:
        return "The box started and never spoke."
    if seen.hellos[-1].version != goal.version:
        return f"The box still runs {seen.hellos[-1].version}."
    if not verdicts:
        return "The server was told no verdict."
    if (verdicts[0].phase, verdicts[0].reason) != (goal.phase, goal.reason):
        return f"The verdict is {verdicts[0].phase}: {verdicts[0].detail}"
    if not seen.is_proven:
        return "Boot control does not call the slot good."
    if seen.stage != IDLE:
        return f"The machine stays in {seen.stage or 'no state'}."
    if seen.left:
        return f"Never cleared away: {', '.join(seen.left[:5])}."
    return ""
