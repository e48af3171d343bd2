"""Moments at which one box more or less decides: what the shipped plan says of each.

No fleet comes to them by itself: boxes that are left out or excused, revoked boxes, a
person who accepted exactly so much, bad ends since the newest good one.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from oleada_server.rollouts import plan
from oleada_server.rollouts.evidence import judge
from oleada_server.rollouts.evidence.judge import Evidence, Stratum, Terms
from oleada_server.rollouts.plan import Accepted, Limits, RolloutFacts, Tally, WaveFacts
from oleada_server.rollouts.states import RolloutState, WaveState

NOW: Final = datetime(2026, 1, 1, 8, tzinfo=UTC)
LIMITS: Final = Limits(0.9, 0.5, 0.06, 1, timedelta(0))
FEW_GOOD: Final = Evidence(Terms(), (Stratum("1", 100, begun=10, good=10),))
"""Too few to prove anything, and nothing speaks against the release."""
OPEN: Final = WaveFacts(1, WaveState.OPEN, Tally(pending=100), LIMITS)
SOAKED: Final = replace(OPEN, state=WaveState.SOAKING, soak_from=NOW - timedelta(hours=1))


def _wave(like: WaveFacts, accepted: Accepted = Accepted(), unripe: int = 0,  # noqa: B008 - frozen
          **tally: int) -> WaveFacts:  # fmt: skip
    return replace(like, tally=Tally(**tally), accepted=accepted, unripe=unripe)


ALONE: Final[Mapping[str, WaveFacts]] = {
    "some are left out": _wave(OPEN, pending=1, good=89, left_out=10),
    "some are excused": _wave(OPEN, pending=1, good=89, excused=10),
    "some are left out, and enough are good": _wave(OPEN, pending=1, good=95, left_out=4),
    "some are excused, and enough are good": _wave(OPEN, pending=1, good=95, excused=4),
    "silent and at work are too many together": _wave(SOAKED, pending=3, silent=4, good=93),
    "silent and at work are just few enough": _wave(SOAKED, pending=2, silent=4, good=94),
    "so few are heard that enough are good": _wave(OPEN, pending=9, silent=5, good=86),
    "it has soaked to the second": replace(
        _wave(SOAKED, good=100), limits=replace(LIMITS, soak=timedelta(hours=1))
    ),
    "all are gone": _wave(OPEN, gone=3),
    "less is accepted, and one is at work": _wave(OPEN, Accepted(0, 5), pending=1, good=5, bad=2),
    "less is accepted, and none is at work": _wave(OPEN, Accepted(0, 5), good=5, bad=2),
    "more is accepted than the limit needs": _wave(OPEN, Accepted(0, 99), good=95, bad=5),
    "all may be silent, and are": replace(
        _wave(OPEN, silent=5), limits=replace(LIMITS, silent_share_max=1.0)
    ),
    "just enough have spoken": replace(
        _wave(OPEN, pending=95, good=2, bad=3), limits=replace(LIMITS, sample_min=5)
    ),
}
"""Limits and nothing else."""
JUDGED: Final[Mapping[str, WaveFacts]] = {
    "undecided, and one is not ripe": _wave(OPEN, unripe=1, good=10),
    "undecided, and all are ripe": _wave(OPEN, good=10),
    "undecided, and as many are gone": _wave(OPEN, good=10, gone=10),
}
"""With evidence that proves nothing yet."""


def play() -> dict[str, str]:
    """Return what is decided at each moment, and how many boxes may be at work."""
    found = {name: _decided(wave, None) for name, wave in ALONE.items()}
    found |= {name: _decided(wave, FEW_GOOD) for name, wave in JUDGED.items()}
    hold = plan.decide(_facts(_wave(OPEN, good=80, bad=17, silent=3), None), NOW)
    rooms = [judge.judge(replace(FEW_GOOD, kept_by_bad=kept)).room for kept in (0, 3, 40)]
    return found | {
        "room after bad ends": str(rooms),
        "what a hold says": hold.reason if isinstance(hold, plan.HoldWave) else "",
    }


def _decided(wave: WaveFacts, evidence: Evidence | None) -> str:
    return type(plan.decide(_facts(wave, evidence), NOW)).__name__


def _facts(wave: WaveFacts, evidence: Evidence | None) -> RolloutFacts:
    return RolloutFacts(RolloutState.RUNNING, (wave,), evidence=evidence)
