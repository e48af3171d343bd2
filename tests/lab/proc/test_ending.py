"""How a run with real processes is judged at its end."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from oleada_lab.check import facts
from oleada_lab.check.safety import Terms
from oleada_lab.check.watch import Broken, Watch
from oleada_lab.proc.dweller import Dweller, HealthKey
from oleada_lab.proc.ending import accounts, sentences, unexpected
from oleada_lab.proc.looks import ServerLook
from oleada_lab.proc.shrunk import Shrunk
from oleada_lab.scenario import load

SCENARIOS = Path(__file__).parents[3] / "lab" / "scenarios"
GOOD = Shrunk(load(SCENARIOS / "n4_hotel.toml"), 1)
BAD = Shrunk(load(SCENARIOS / "u2_bad_image_hangs.toml"), 1)
BACK = Shrunk(load(SCENARIOS / "back_after_stop.toml"), 1)
STOPPED = ServerLook("stopped", "somebody wanted to stop", {1: 3}, (), frozenset())
OVER = ServerLook("finished", "", {0: 2, 1: 2}, (), frozenset())
HALTED = ServerLook("halted", "wave 1: 2 of 2 failed", {0: 2}, (), frozenset())
BOOT = "00000001-0123abcd"


def said(run: Shrunk, seen: ServerLook | None, states: Mapping[str, int]) -> str:
    return "; ".join(unexpected(run, seen, states, ["409: no"]))


def test_a_run_that_ends_as_its_story_says_is_well() -> None:
    assert said(GOOD, OVER, {"updated": 4}) == ""
    assert said(BAD, HALTED, {"rolled_back": 2, "queued": 2}) == ""


@pytest.mark.parametrize(
    ("run", "seen", "states", "words"),
    [
        (GOOD, OVER, {"updated": 3, "failed": 1}, "3 boxes are updated; 4 to"),
        (GOOD, replace(OVER, state="running"), {"updated": 4}, "is running; finished was expected"),
        (GOOD, None, {}, "could not be planned: 409: no"),
        (BAD, replace(HALTED, reason="a person"), {}, "'wave 1:' was expected in it"),
        (BAD, replace(HALTED, waves={0: 2, 1: 2}), {}, "2 waves opened; at most 1"),
        (BAD, HALTED, {"updated": 1}, "1 boxes are updated; 0 to 0"),
        (BACK, STOPPED, {"updated": 3}, "0 boxes are back; 2 to"),
        (BACK, STOPPED, {"updated": 3}, "0 boxes are not back; 1 to 1"),
    ],
)
def test_what_ends_otherwise_is_said(
    run: Shrunk, seen: ServerLook | None, states: dict[str, int], words: str
) -> None:
    assert words in said(run, seen, states)


class Kept:
    """A box of which only the health messages count."""

    def __init__(self, *made: int, kept: tuple[int, ...] = (), lost: tuple[int, ...] = ()) -> None:
        self.device_id = "VX41"
        self.made = {(BOOT, seq) for seq in made}
        self.lost = {(BOOT, seq) for seq in lost}
        self.dropped: dict[str, int] = {}
        self.spool_max = 0
        self._kept = {(BOOT, seq) for seq in kept}

    def kept_health(self) -> set[HealthKey]:
        """Return what waits on its disk."""
        return self._kept


def broken(box: Kept, *stored: int) -> list[str]:
    """Return what S10 says of *box*, of which the server has *stored*."""
    watch = Watch(Terms({}), ["S10"])
    rows = frozenset(("VX41", BOOT, seq) for seq in stored)
    for fact in accounts([cast(Dweller, box)], rows):
        watch.see(1, fact)
    return [one.what for one in watch.settle(2, facts.Settled({}, {}))]


def test_every_health_message_is_stored_kept_or_wiped() -> None:
    assert broken(Kept(1, 2, 3, 4, kept=(3,), lost=(4,)), 1, 2) == []
    assert broken(Kept(1, 2), 1, 2, 3) == []


def test_a_health_message_that_was_heard_and_is_nowhere_is_found() -> None:
    assert broken(Kept(1, 2), 1) == ["VX41 made 2 health messages; 1 are accounted for"]


def test_a_drop_that_a_box_has_counted_is_no_loss() -> None:
    box = Kept(1, 2)
    box.dropped[BOOT] = 1

    assert broken(box, 1) == []


def test_a_broken_invariant_is_told_with_its_time() -> None:
    assert list(sentences([Broken(2_500, "S1", "dead")])) == ["S1 at 2.5 s: dead"]
