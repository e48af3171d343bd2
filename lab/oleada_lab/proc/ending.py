"""What became of a run: health messages accounted for, and what was expected otherwise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from oleada_lab.check import facts
from oleada_lab.check.facts import Fact
from oleada_lab.check.watch import Broken
from oleada_lab.proc.dweller import Dweller
from oleada_lab.proc.looks import ServerLook
from oleada_lab.proc.shrunk import Shrunk


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        wrong: What should have been otherwise; empty when all is well.
        broken: Invariants that did not hold, the first bad step first.
        judged: The invariants that were asked.
        strikes: How often a fault has struck.
    """

    lines: tuple[str, ...]
    wrong: tuple[str, ...]
    broken: tuple[Broken, ...]
    judged: tuple[str, ...]
    rollout: str
    states: dict[str, int]
    strikes: int
    wall_s: float
    options: dict[str, object]


def accounts(boxes: Sequence[Dweller], stored: frozenset[tuple[str, str, int]]) -> Iterator[Fact]:
    """Yield what became of every health message that anybody has seen of *boxes*.

    Args:
        stored: In the database: device, boot, number.
    """
    for box in boxes:
        mine = {(boot, seq) for one, boot, seq in stored if one == box.device_id}
        kept = box.kept_health()
        for _ in box.made | mine | kept:
            yield facts.HealthMade(box.device_id)
        for _ in mine:
            yield facts.HealthCounted(box.device_id)
        yield facts.HealthKept(box.device_id, len(kept - mine))
        wiped = len(box.lost - mine - kept)
        missing = len(box.made - mine - kept - box.lost)
        dropped = min(missing, sum(box.dropped.values()))
        yield facts.HealthLost(box.device_id, wiped + dropped)
        yield facts.Used(box.device_id, box.spool_max, 0)


def unexpected(
    run: Shrunk, seen: ServerLook | None, states: Mapping[str, int], refused: Sequence[str]
) -> Iterator[str]:
    """Yield what is otherwise than the story expects of so few boxes.

    Args:
        seen: The rollout at the end; None when there is none.
        states: Of the boxes in it, counted.
    """
    expect = run.within().scenario.expect
    if seen is None:
        yield f"the rollout could not be planned: {', '.join(refused) or 'nobody answered'}"
        return
    if expect.rollout and seen.state != expect.rollout:
        yield f"the rollout is {seen.state}; {expect.rollout} was expected"
    if expect.reason.lower() not in seen.reason.lower():
        yield f"the reason is {seen.reason!r}; {expect.reason!r} was expected in it"
    if len(seen.waves) > expect.waves_opened_max:
        yield f"{len(seen.waves)} waves opened; at most {expect.waves_opened_max} were expected"
    updated, silent = states.get("updated", 0), states.get("silent", 0)
    failed = states.get("failed", 0) + states.get("rolled_back", 0)
    back = sum(row.state == "updated" for row in seen.back)
    for name, found, low, high in (
        ("updated", updated, expect.boxes_updated_min, expect.boxes_updated_max),
        ("failed", failed, 0, expect.boxes_failed_max),
        ("silent", silent, expect.boxes_silent_min, expect.boxes_silent_max),
        ("back", back, expect.boxes_back_min, expect.boxes_back_max),
        ("not back", len(seen.back) - back, expect.boxes_not_back_min, expect.boxes_not_back_max),
    ):
        if not low <= found <= high:
            yield f"{found} boxes are {name}; {low} to {high} were expected"


def sentences(broken: Sequence[Broken]) -> Iterator[str]:
    """Yield what each broken invariant says, with its time."""
    for one in broken:
        yield f"{one.invariant} at {one.at_ms / 1000:.1f} s: {one.what}"
