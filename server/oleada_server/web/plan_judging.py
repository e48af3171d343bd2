"""The fields of a plan that are rarely changed: how it is judged, and how long a box may take.

Each is a short text; an empty one is what is usual, or what past rollouts teach.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.spec import RolloutSpec
from oleada_server.web import plan_rules
from oleada_server.web.plan_waves import soak_text
from oleada_server.web.words import gettext

CHARS_MAX: Final = 40
SHARES: Final = ("accepted", "alpha", "bad_max", "doubt")
CHOICES: Final[dict[str, dict[str, bool | None]]] = {
    "hours": {"": None, "watched": True, "not-watched": False},
    "trials": {"": True, "end": False},
}
"""By field: what each word that may be chosen means; the empty one is what is usual."""


class Reads(Protocol):
    """Reads one field and notes it if it can not be read."""

    def whole(self, name: str, text: str, low: int, high: int) -> int:
        """Return the number that *text* spells."""

    def soak(self, name: str, text: str) -> int:
        """Return the seconds of the time that *text* spells."""

    def share(self, name: str, text: str, over: int = -1) -> float:
        """Return the share, 0 to 1, of the percentage that *text* spells."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What was typed, by the names of the specs: of the evidence, and of the rollout."""

    evidence: dict[str, Any]
    rollout: dict[str, Any]


_EVIDENCE: Final = {
    "accepted": "accepted_share", "alpha": "alpha", "bad_max": "bad_share_max", "doubt": "doubt",
    "ripe_after": "ripe_after_s", "hours": "watches_hours", "trials": "rolls_back_trials",
}  # fmt: skip
_ROLLOUT: Final = {"attempts": "attempts_max", "spread": "spread_s", "lease": "lease_s"}
FIELDS: Final = (*_EVIDENCE, *_ROLLOUT)
LEARNED: Final = ("accepted", "ripe_after", "hours")
"""Taken from past rollouts, or decided at the start, where the plan leaves them open."""


def judging_of(typed: Mapping[str, str], reads: Reads) -> Judging:
    """Return what *typed* spells by field; what is left empty is left out."""
    read: dict[str, Callable[[str], Any]] = {
        "attempts": lambda text: reads.whole("attempts", text, 1, 100),
        **{name: _chosen(name) for name in CHOICES},
        **{name: _soak(name, reads) for name in ("ripe_after", "spread", "lease")},
        **{name: _share(name, reads) for name in SHARES},
    }
    found = {
        name: read[name](typed[name].strip()) for name in FIELDS if typed.get(name, "").strip()
    }
    return Judging(
        {_EVIDENCE[name]: value for name, value in found.items() if name in _EVIDENCE},
        {_ROLLOUT[name]: value for name, value in found.items() if name in _ROLLOUT},
    )


def texts_of(spec: RolloutSpec) -> dict[str, str]:
    """Return what the form shows of *spec*, by field: what is not usual.

    What past rollouts taught it is open again: the next one learns it anew.
    """
    usual, judged = EvidenceSpec(), spec.evidence or EvidenceSpec()
    shown = {}
    for field, name in _EVIDENCE.items():
        value = getattr(judged, name)
        if field in LEARNED or value == getattr(usual, name):
            continue
        shown[field] = plan_rules.percent_text(value) if field in SHARES else _word(field, value)
    plain = RolloutSpec.__dataclass_fields__
    if spec.attempts_max != plain["attempts_max"].default:
        shown["attempts"] = str(spec.attempts_max)
    for field in ("spread", "lease"):
        value = getattr(spec, _ROLLOUT[field])
        if value != plain[_ROLLOUT[field]].default:
            shown[field] = soak_text(value)
    return shown


def labels() -> dict[str, str]:
    """Return what people call each field."""
    return {
        "accepted": gettext("Failures that are nobody's worry"),
        "alpha": gettext("Chance that a good release is halted"),
        "bad_max": gettext("A wave passes when more bad boxes are ruled out than"),
        "doubt": gettext("But for a chance of"),
        "ripe_after": gettext("A trial counts after"),
        "hours": gettext("The hours after the update"),
        "trials": gettext("A halt and boxes in their trial"),
        "attempts": gettext("Attempts of a box"),
        "spread": gettext("Boxes wait before they begin, up to"),
        "lease": gettext("A box keeps its place without progress for"),
    }


def _word(field: str, value: Any) -> str:
    return next((word for word, means in CHOICES[field].items() if means == value), "")


def _chosen(name: str) -> Callable[[str], Any]:
    return lambda text: CHOICES[name].get(text, CHOICES[name][""])


def _soak(name: str, reads: Reads) -> Callable[[str], int]:
    return lambda text: reads.soak(name, text)


def _share(name: str, reads: Reads) -> Callable[[str], float]:
    return lambda text: reads.share(name, text, over=0)
