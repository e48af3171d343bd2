"""From facts to ranked causes; pure, exact, and the same for page, program and lab.

The model is a noisy or: a sign is seen because of any cause that is there, or by itself.
Every set of at most two causes is weighed, so two faults at once are told apart from one
that explains both; a fact that is missing or old is no evidence in either direction.
Source: Pearl, Probabilistic Reasoning in Intelligent Systems (1988), 4.3.2.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import combinations
from math import exp, isnan, log, log2
from typing import Final

from oleada_server.diagnosis.shapes import (
    Cause,
    Check,
    Facts,
    Library,
    Operator,
    Playbook,
    Ranked,
    Seen,
    Sign,
    Value,
    Verdict,
)

LIKELY: Final = 0.5
"""A cause is acted on when it is more likely there than not."""
SHOWN_MIN: Final = 0.02
"""A cause less likely than this is not worth a line."""
CAUSES_AT_ONCE: Final = 2
CHANCE_MIN: Final = 0.002
CHANCE_MAX: Final = 0.998
"""No sign is certain or impossible: one lying sensor must not decide by itself."""

_Set = tuple[str, ...]


def diagnose(library: Library, playbook: Playbook, facts: Facts, now: datetime) -> Verdict:
    """Return what *facts* say about the causes of *playbook* at *now*."""
    seen = look(library, playbook, facts, now)
    weights = _weigh(library, playbook, seen)
    confidence = {
        cause: sum(weight for one, weight in weights.items() if cause in one)
        for cause in playbook.priors
    }
    order = sorted(playbook.priors, key=lambda one: _place(library.causes[one], confidence[one]))
    ranked = [
        _ranked(library.causes[one], confidence[one], seen)
        for one in order
        if confidence[one] >= SHOWN_MIN
    ]
    return Verdict(
        playbook.symptom,
        playbook.version,
        now,
        tuple(ranked),
        sum(one.confidence >= LIKELY for one in ranked),
        weights[()],
        tuple(seen),
        tuple(_checks(library, playbook, seen, weights)),
    )


def look(library: Library, playbook: Playbook, facts: Facts, now: datetime) -> list[Seen]:
    """Return the signs of *playbook* whose facts are there, fresh and of the right kind."""
    found = []
    for name in playbook.signs:
        sign = library.signs[name]
        fact = facts.get(sign.fact)
        if fact is None or now - fact.at > sign.fresh:
            continue
        if (truth := holds(sign, fact.value)) is not None:
            found.append(Seen(sign, truth, fact))
    return found


def holds(sign: Sign, value: Value) -> bool | None:
    """Return whether *value* shows *sign*; None for one that says nothing.

    A word where a number belongs, and what is not a number, is what a broken or lying
    sensor sends: it counts neither way.
    """
    match sign.operator:
        case Operator.IS | Operator.IS_NOT:
            same_kind = [one for one in sign.limits if type(one) is type(value)]
            if not same_kind:
                return None
            return (value in same_kind) == (sign.operator is Operator.IS)
        case _:
            limit = sign.limits[0]
            if isinstance(value, bool | str) or isinstance(limit, bool | str) or isnan(value):
                return None
            return value < limit if sign.operator is Operator.BELOW else value > limit


def _weigh(library: Library, playbook: Playbook, seen: Sequence[Seen]) -> dict[_Set, float]:
    """Return the chance of each set of causes, given the signs; they sum to 1."""
    odds = {one: log(prior / (1 - prior)) for one, prior in playbook.priors.items()}
    told = [(_Chances(library, one.sign.id), one.holds) for one in seen]
    logs: dict[_Set, float] = {}
    for size in range(CAUSES_AT_ONCE + 1):
        for causes in combinations(sorted(playbook.priors), size):
            total = sum(odds[one] for one in causes)
            for chances, is_seen in told:
                chance = chances.under(causes)
                total += log(chance if is_seen else 1 - chance)
            logs[causes] = total
    top = max(logs.values())
    whole = sum(exp(value - top) for value in logs.values())
    return {causes: exp(value - top) / whole for causes, value in logs.items()}


class _Chances:
    """How likely one sign is seen; asked for thousands of sets, of which few causes make it."""

    def __init__(self, library: Library, sign: str) -> None:
        makes = ((one.id, one.makes.get(sign)) for one in library.causes.values())
        self._missed_by = {cause: 1 - chance for cause, chance in makes if chance is not None}
        self._background = library.background[sign]

    def under(self, causes: Sequence[str]) -> float:
        """Return the chance when exactly *causes* are there."""
        missed = 1 - self._background
        for one in causes:
            if one in self._missed_by:
                missed *= self._missed_by[one]
        return min(max(1 - missed, CHANCE_MIN), CHANCE_MAX)


def _place(cause: Cause, confidence: float) -> tuple[bool, int, float, str]:
    is_likely = confidence >= LIKELY
    return (not is_likely, cause.stage if is_likely else 0, -confidence, cause.id)


def _ranked(cause: Cause, confidence: float, seen: Sequence[Seen]) -> Ranked:
    of_it = [one for one in seen if one.sign.id in cause.makes]
    return Ranked(
        cause,
        confidence,
        tuple(one for one in of_it if one.holds),
        tuple(one for one in of_it if not one.holds),
    )


def _checks(
    library: Library, playbook: Playbook, seen: Sequence[Seen], weights: Mapping[_Set, float]
) -> list[Check]:
    """Return what is not known yet, the earliest stage first, and then what tells most."""
    known = {one.sign.id for one in seen}
    found = [
        (
            min(library.causes[c].stage for c in playbook.priors if s in library.causes[c].makes),
            Check(library.signs[s], _gain_bits(library, s, weights)),
        )
        for s in playbook.signs
        if s not in known
    ]
    found.sort(key=lambda one: (one[0], -one[1].gain_bits, one[1].sign.id))
    return [check for _, check in found]


def _gain_bits(library: Library, sign: str, weights: Mapping[_Set, float]) -> float:
    """Return how many bits about the causes are expected from looking at *sign*."""
    chances = _Chances(library, sign)
    overall = noise = 0.0
    for causes, weight in weights.items():
        chance = chances.under(causes)
        overall += weight * chance
        noise += weight * _bits(chance)
    return max(_bits(overall) - noise, 0.0)


@lru_cache(maxsize=4096)  # a sign has few chances, in thousands of sets of causes
def _bits(chance: float) -> float:
    return -chance * log2(chance) - (1 - chance) * log2(1 - chance)
