"""What the evidence says of a release: of each stratum, and of all boxes together.

A stratum is the boxes of a rollout that ran one version before. Two e-processes run side by
side and their mean decides: what boxes *reported*, against the accepted share of failures,
and who fell *silent*, against what went dark among boxes that were not updated yet. Each
is an e-process, so their mean is one, and so is a mean over strata (explained, with worked
examples, in docs/explanation/evidence.md). Where the hours after the update are watched too,
they have an e-process of their own, and half of the chance of a false halt.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from oleada_server.rollouts.evidence import bounds, control
from oleada_server.rollouts.evidence.control import Hour
from oleada_server.rollouts.evidence.eprocess import Cell, NoSuchCountError, log_e, log_mean
from oleada_server.rollouts.evidence.slow_start import DOUBTFUL, room

CONTROL_MIN: Final = 200
"""Fewer boxes on the old release say too little about ordinary darkness."""
DARK_DOUBT: Final = 0.01
DARK_UNKNOWN: Final = 0.03
"""The share of dark boxes that is taken for ordinary where nothing was measured beside."""
TOLERATED: Final = 1.2
"""So many times as many bad hours as beside are nobody's worry."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan says of evidence. Shares and chances are more than 0 and less than 1.

    Attributes:
        accepted_share: Reported failures up to this share are nobody's worry.
        alpha: The chance of a halt that a good release accepts, over its whole rollout.
        bad_share_max: A wave passes when more than this is ruled out ...
        doubt: ... but for this chance.
        start_boxes: May be at work at first; at least 1.
        in_flight_max: May be at work at most; at least 1.
    """

    accepted_share: float = 0.005
    alpha: float = 0.01
    bad_share_max: float = 0.05
    doubt: float = 0.05
    start_boxes: int = 20
    in_flight_max: int = 2000

    def __post_init__(self) -> None:
        for share in (self.accepted_share, self.alpha, self.bad_share_max, self.doubt):
            if not 0 < share < 1:  # nothing that is not a number passes this
                raise NoSuchCountError(f"{share} is not between 0 and 1")
        if self.bad_share_max <= self.accepted_share:
            raise NoSuchCountError(
                f"more than {self.bad_share_max} is to be ruled out, while {self.accepted_share} "
                "is accepted: that can never be proven"
            )
        if min(self.start_boxes, self.in_flight_max) < 1:
            raise NoSuchCountError("not one box may be at work")


@dataclass(frozen=True, slots=True)
class Matured:
    """Boxes of a stratum that were judged in one look, and the control beside them.

    Attributes:
        boxes: Whose trial became old enough, or that reported its end, also one that says
            nothing: without those that lost power the share of silent ones would be too large.
        silent: Of them, those without a verdict.
        dark_share: The most that may have gone dark beside them (an upper bound).
        dark_least: The least that surely did (a lower bound).
    """

    boxes: int
    silent: int
    dark_share: float
    dark_least: float = 0.0


@dataclass(frozen=True, slots=True)
class Stratum:
    """The boxes of a rollout that ran one version before; whole numbers from 0.

    Attributes:
        begun: Boxes that were ever given a lease, one for each attempt that counts.
        bad: Of them, those that reported a bad end.
        silent: Of them, those whose trial is old enough and that said nothing.
        good: Of them, those whose trial is old enough and that are good.
        looks: The silence, by looks that have a control.
        alone: Boxes that were judged while nobody was watched beside them.
        alone_silent: Of them, the silent ones.
    """

    name: str
    boxes: int
    begun: int = 0
    bad: int = 0
    silent: int = 0
    good: int = 0
    looks: tuple[Matured, ...] = ()
    alone: int = 0
    alone_silent: int = 0
    is_halted: bool = False

    def __post_init__(self) -> None:
        ended = self.bad + self.silent + self.good
        least = min(self.boxes, self.bad, self.silent, self.good, self.alone_silent)
        if least < 0 or ended > self.begun or self.alone_silent > self.alone:
            raise NoSuchCountError(f"no boxes can have become {self}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that is judged; strata in a fixed order, at least one.

    Attributes:
        kept_by_bad: Bad ends since the newest good one.
        silent_accepted: So many silent boxes a person has accepted.
        hours: Of updated boxes, and of those beside that wait; None where nobody watches.
    """

    terms: Terms
    strata: tuple[Stratum, ...]
    kept_by_bad: int = 0
    silent_accepted: int = 0
    hours: tuple[Hour, ...] | None = None

    def __post_init__(self) -> None:
        if not self.strata:
            raise NoSuchCountError("a rollout without strata has no boxes")

    @property
    def total(self) -> Stratum:
        """Return all strata that are not halted as one."""
        return _pooled([one for one in self.strata if not one.is_halted])

    @property
    def wall(self) -> float:
        """Return ln E at which something halts: alpha is shared by what is watched."""
        return -math.log(self.terms.alpha if self.hours is None else self.terms.alpha / 2)

    @property
    def log_e_beside(self) -> float:
        """Return ln E that updated boxes have more bad hours than those that wait."""
        return 0.0 if self.hours is None else control.log_e_of_kinds(self.hours, TOLERATED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What :func:`judge` says.

    Attributes:
        log_e: ln E against the release, over all strata that are not halted.
        by_stratum: ln E of each stratum, by name.
        halting: Strata to halt now, none of which is halted yet.
        halts_all: The whole rollout is to halt.
        asks: Silence can not be judged, because nothing was measured beside: who must look.
        room: Boxes that may be at work.
        log_e_beside: ln E that updated boxes have more bad hours than others.
    """

    log_e: float
    by_stratum: dict[str, float]
    halting: tuple[str, ...]
    halts_all: bool
    asks: bool
    room: int
    log_e_beside: float = 0.0


@lru_cache(maxsize=16)
def judge(evidence: Evidence) -> Verdict:
    """Return what *evidence* says; the same numbers say the same, at every look."""
    terms, strata = evidence.terms, evidence.strata
    logs = {one.name: log_e_of(one, terms) for one in strata}
    going = [one for one in strata if not one.is_halted]
    at = before = log_e_over(going, len(strata), terms)
    halting: list[Stratum] = []
    rest = list(going)
    # All of them together are bad: take the worst out until the others are not.
    while rest and at >= evidence.wall:
        worst = max(rest, key=lambda one: (logs[one.name], one.name))
        halting.append(worst)
        rest.remove(worst)
        at = log_e_over(rest, len(strata), terms)
    beside = evidence.log_e_beside
    halts_all = beside >= evidence.wall or (bool(halting) and _is_most(halting, going))
    asks = _asks(evidence)
    return Verdict(
        log_e=before,
        by_stratum=logs,
        halting=tuple(one.name for one in halting),
        halts_all=halts_all,
        asks=asks,
        room=room(
            terms.start_boxes,
            terms.in_flight_max,
            good=evidence.total.good,
            kept_by_bad=evidence.kept_by_bad,
            log_e=max(before, beside),
            asks=asks,
        ),
        log_e_beside=beside,
    )


@lru_cache(maxsize=64)
def log_e_of(stratum: Stratum, terms: Terms) -> float:
    """Return ln E of one stratum: the mean of what was reported and who fell silent."""
    reported = log_e([Cell(stratum.begun, stratum.bad, terms.accepted_share)])
    silent = log_e([Cell(look.boxes, look.silent, look.dark_share) for look in stratum.looks])
    return log_mean([reported, silent])


def log_e_over(strata: Sequence[Stratum], planned: int, terms: Terms) -> float:
    """Return ln E of *strata* together: half their mean over *planned* strata, half pooled.

    The mean sees one bad stratum among good ones, the pool a little harm in each of many.
    Strata that are left out count as 0, which only makes E smaller.
    """
    if not strata:
        return 0.0
    together = strata[0] if len(strata) == 1 else _pooled(strata)
    apart = log_mean([log_e_of(one, terms) for one in strata]) + math.log(len(strata) / planned)
    return log_mean([apart, log_e_of(together, terms)])


def is_proven(evidence: Evidence) -> bool:
    """Return whether a gate may open: trials prove it good, and no hour since smells."""
    return is_ruled_out(evidence) and judge(evidence).log_e_beside < DOUBTFUL


def is_ruled_out(evidence: Evidence) -> bool:
    """Return whether trials rule out more than the allowed share of bad boxes, and none smells.

    Silent boxes count as bad here, because nothing that is silent is ever green; but what
    surely went dark beside them is no harm of the release. Darkness lets nobody prove more:
    those that reported must be enough by themselves.
    """
    terms, total = evidence.terms, evidence.total
    if not bounds.is_below(total.bad, total.good + total.bad, terms.bad_share_max, terms.doubt):
        return False
    harmed = total.bad + total.silent
    ended = total.good + harmed
    usual = sum(look.boxes * look.dark_least for look in total.looks) / max(ended, 1)
    if not bounds.is_below(harmed, ended, min(terms.bad_share_max + usual, 0.99), terms.doubt):
        return False
    return judge(evidence).log_e < DOUBTFUL


def sample_needed(terms: Terms) -> int:
    """Return how many good boxes, without a bad one, prove what a wave must prove."""
    return bounds.sample_for(terms.bad_share_max, terms.doubt)


def in_words(stratum: Stratum) -> str:
    """Return the counts of *stratum* as a reason says them."""
    return (
        f"{stratum.bad} failed and {stratum.silent} fell silent of {stratum.begun} that began, "
        f"{stratum.good} proved good"
    )


def harm(evidence: Evidence, names: Sequence[str]) -> str:
    """Return why the strata *names* halt; all that go on, if there are none."""
    if evidence.hours is not None and evidence.log_e_beside >= evidence.wall:
        return f"the evidence speaks against it: {_hours_in_words(evidence.hours)}"
    if not names:
        return f"the evidence speaks against it: {in_words(evidence.total)}"
    hit = [one for one in evidence.strata if one.name in names]
    return "the evidence speaks against it " + "; ".join(
        f"from {one.name}: {in_words(one)}" for one in hit
    )


def _hours_in_words(hours: Sequence[Hour]) -> str:
    """Return the counts of the kind of hours that speaks most against the release."""
    worst = control.by_kind(hours, TOLERATED)[0].hour
    word = f"{worst.kind.replace('_', ' ')}: " if worst.kind else ""
    return (
        f"{word}{worst.updated_bad:,} bad in {worst.updated:,} device-hours of updated boxes, "
        f"beside {worst.control_bad:,} in {worst.control:,} of boxes that wait"
    )


def unwatched(evidence: Evidence) -> str:
    """Return why silence asks a person."""
    return (
        f"{evidence.total.alone_silent} boxes fell silent in their trial, and no others are "
        "watched beside them that could say whether that is usual"
    )


def undecided(evidence: Evidence) -> str:
    """Return what is proven, and what would prove enough."""
    return (
        f"{in_words(evidence.total)}; {sample_needed(evidence.terms)} good boxes and none bad "
        "would decide it"
    )


def dark_share(boxes: int, dark: int, accepted_share: float) -> float:
    """Return the most of *boxes* beside that may go dark for ordinary reasons, as *dark* did.

    At least the accepted share of failures, and less than 1.
    """
    bound = bounds.share_at_most(dark, boxes, DARK_DOUBT)
    return min(max(bound, accepted_share), 0.99)


def dark_least(boxes: int, dark: int) -> float:
    """Return the least of *boxes* beside that goes dark for ordinary reasons, as *dark* did."""
    return 1.0 - bounds.share_at_most(boxes - dark, boxes, DARK_DOUBT)


def _asks(evidence: Evidence) -> bool:
    """Return whether silence is strange though nothing beside it was measured."""
    total = evidence.total
    silent = total.alone_silent - evidence.silent_accepted
    if silent <= 0:
        return False
    wall = -math.log(evidence.terms.alpha)
    return log_e([Cell(total.alone, silent, DARK_UNKNOWN)]) >= wall


def _is_most(halting: Sequence[Stratum], going: Sequence[Stratum]) -> bool:
    """Return whether what halts is so much that going on with the rest is no rollout."""
    return 2 * sum(one.begun for one in halting) > sum(one.begun for one in going) or len(
        halting
    ) == len(going)


def _pooled(strata: Sequence[Stratum]) -> Stratum:
    whole = Stratum("all", 0)
    for one in strata:
        whole = replace(
            whole,
            boxes=whole.boxes + one.boxes,
            begun=whole.begun + one.begun,
            bad=whole.bad + one.bad,
            silent=whole.silent + one.silent,
            good=whole.good + one.good,
            looks=whole.looks + one.looks,
            alone=whole.alone + one.alone,
            alone_silent=whole.alone_silent + one.alone_silent,
        )
    return whole
