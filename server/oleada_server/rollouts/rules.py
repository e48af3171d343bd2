"""The rules of a rollout beyond its waves: when, how fast, what is tried again, what ends it.

Kept as JSON in the rollout's row, in the shape in which REST takes them. Reading is strict:
what can not be read raises, and whoever reads stops; it is never taken for "no rule".
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from oleada_wire.version import is_version
from oleada_wire.words import RETRYABLE, Reason

from oleada_server.rollouts import pace, schedule
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.pace import Caps, Constant, Exponential, GrowsOn, Rate
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.schedule import DAYS, Schedule

ABORTS_MAX: Final = 10
NEVER_RETRYABLE: Final = frozenset({Reason.CANCELLED, Reason.DENIED, Reason.LOOP_BREAKER})
"""Taken back, forbidden, or found to run in circles: no plan may ask for more of it."""


class AbortOn(StrEnum):
    """Which ends of boxes an abort criterion counts."""

    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed-out"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Ends the rollout when too many boxes end badly.

    Attributes:
        on: What counts: failed and rolled back, declined, silent, or each of them.
        share_max: 0 to 1, of the boxes that have ended; more than it ends the rollout.
        sample_min: So many boxes must have ended before it is judged.
        last: Judges only so many of the newest ends; None for all of them.
    """

    on: AbortOn
    share_max: float
    sample_min: int
    last: int | None = None

    def __post_init__(self) -> None:
        if type(self.share_max) not in (int, float) or not 0 <= self.share_max < 1:
            raise BadPlanError(
                f"share_max is {self.share_max!r}; 0 and more, less than 1 was expected.",
                "share_max",
            )
        pace.whole("sample_min", self.sample_min, 1, pace.BOXES_MAX)
        if self.last is not None:
            pace.whole("last", self.last, self.sample_min, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of a rollout; the defaults are those of one that names none.

    Attributes:
        retry_for: Reasons after which a box is assigned again by itself.
        newcomers: Whether boxes that come later, and that a wave is for, join.
        goes_back: Whether boxes that have kept the release go back after a halt or a stop.
        back_from: A newer version whose boxes may have this older release all the same.
    """

    schedule: Schedule = field(default_factory=Schedule)
    rate: Rate | None = None
    caps: Caps = field(default_factory=Caps)
    retry_for: frozenset[Reason] = RETRYABLE
    abort: tuple[Abort, ...] = ()
    newcomers: bool = False
    goes_back: bool = False
    back_from: str | None = None

    def __post_init__(self) -> None:
        if wrong := sorted(self.retry_for & NEVER_RETRYABLE):
            raise BadPlanError(f"Nothing is tried again after {wrong[0]}.", "retry_for")
        if len(self.abort) > ABORTS_MAX:
            raise BadPlanError(f"A rollout has at most {ABORTS_MAX} abort criteria.", "abort")
        if type(self.newcomers) is not bool:
            raise BadPlanError("newcomers is either true or false.", "newcomers")
        if type(self.goes_back) is not bool:
            raise BadPlanError("goes_back is either true or false.", "goes_back")
        if self.back_from is not None and not is_version(self.back_from):
            raise BadPlanError(f"back_from is {self.back_from[:40]!r}; a version was expected.",
                               "back_from")  # fmt: skip


def rules_from(found: Any) -> Rules:
    """Return the rules that JSON *found* spells; what it does not name has its default.

    Raises:
        BadPlanError: Something in it is not known, or not of its shape.
    """
    given = _object(found, "rules", NAMES)
    caps = {name: given[name] for name in CAPS if name in given}
    return Rules(
        schedule=Schedule(
            tuple(_window(one) for one in _list(given, "windows")),
            tuple(_blackout(one) for one in _list(given, "blackouts")),
        ),
        rate=_rate(given["rate"]) if "rate" in given else None,
        caps=Caps(**caps),
        retry_for=_reasons(given),
        abort=tuple(_abort(one) for one in _list(given, "abort")),
        newcomers=given.get("newcomers", False),
        goes_back=given.get("goes_back", False),
        back_from=_text(given, "back_from") if "back_from" in given else None,
    )


def rules_json(rules: Rules) -> dict[str, Any]:
    """Return *rules* as :func:`rules_from` reads them; what is as usual is left out."""
    rate = rules.rate
    found: dict[str, Any] = {
        "windows": [
            {
                "days": [DAYS[day] for day in one.days],
                "start": schedule.clock_text(one.start_min),
                "end": schedule.clock_text(one.end_min),
            }
            for one in rules.schedule.windows
        ],
        "blackouts": [
            {"first": str(one.first), "last": str(one.last)} for one in rules.schedule.blackouts
        ],
        "rate": rate and {"kind": type(rate).__name__.lower(), **asdict(rate)},
        "abort": [{k: v for k, v in asdict(one).items() if v is not None} for one in rules.abort],
        "newcomers": rules.newcomers or None,
        "goes_back": rules.goes_back or None,
        "back_from": rules.back_from,
    }
    usual = asdict(Caps())
    found |= {name: v for name, v in asdict(rules.caps).items() if v != usual[name]}
    named = {name: v for name, v in found.items() if v is not None and v != []}
    if rules.retry_for != RETRYABLE:  # nothing at all to retry is a rule too
        named["retry_for"] = sorted(map(str, rules.retry_for))
    return named


def read(kept: Any) -> Rules:
    """Return the rules in a rollout's row; None there is a rollout that was planned without.

    Raises:
        ImpossibleFactsError: They can not be read; whoever reads must stop.
    """
    if kept is None:
        return Rules()
    try:
        return rules_from(kept)
    except BadPlanError as error:
        raise ImpossibleFactsError(f"the rules can not be read: {error}") from error


CAPS: Final = (
    "in_flight_max_per_region",
    "bandwidth_max_bytes_s",
    "bandwidth_max_per_region_bytes_s",
    "box_bytes_s",
)
NAMES: Final = (
    "windows", "blackouts", "rate", "retry_for", "abort", "newcomers", "goes_back", "back_from",
    *CAPS,
)  # fmt: skip


def _window(found: Any) -> schedule.WeekWindow:
    given = _object(found, "windows", ("days", "start", "end"))
    names = given.get("days", list(DAYS))
    if type(names) is not list or not all(name in DAYS for name in names):
        raise BadPlanError(f"The days of a window are some of {', '.join(DAYS)}.", "windows")
    days = tuple(sorted({DAYS.index(name) for name in names}))
    return schedule.window_from(days, _text(given, "start"), _text(given, "end"))


def _blackout(found: Any) -> schedule.Blackout:
    given = _object(found, "blackouts", ("first", "last"))
    return schedule.blackout_from(_text(given, "first"), _text(given, "last"))


def _rate(found: Any) -> Rate:
    shapes = {
        "constant": ("kind", "per_minute"),
        "exponential": ("kind", "base_per_minute", "factor", "every", "on", "max_per_minute"),
    }
    kind = found.get("kind") if type(found) is dict else None
    if type(kind) is not str or kind not in shapes:
        raise BadPlanError("The kind of a rate is constant or exponential.", "rate")
    given = _object(found, "rate", shapes[kind], needs_all=True)
    del given["kind"]
    if kind == "constant":
        return Constant(**given)
    return Exponential(**given | {"on": _word(GrowsOn, given["on"], "on")})


def _abort(found: Any) -> Abort:
    given = _object(found, "abort", ("on", "share_max", "sample_min", "last"))
    for name in ("on", "share_max", "sample_min"):
        if name not in given:
            raise BadPlanError(f"{name} of an abort criterion is missing.", "abort")
    return Abort(**given | {"on": _word(AbortOn, given["on"], "on")})


def _reasons(given: dict[str, Any]) -> frozenset[Reason]:
    if "retry_for" not in given:
        return RETRYABLE
    return frozenset(_word(Reason, one, "retry_for") for one in _list(given, "retry_for"))


def _word(words: type[Any], value: Any, name: str) -> Any:
    if type(value) is not str or value not in {str(word) for word in words}:
        known = ", ".join(str(word) for word in words)
        raise BadPlanError(f"{name} is {str(value)[:40]!r}; one of {known} was expected.", name)
    return words(value)


def _object(
    found: Any, name: str, known: tuple[str, ...], *, needs_all: bool = False
) -> dict[str, Any]:
    if type(found) is not dict:
        raise BadPlanError(f"{name} is not an object.", name)
    if unknown := sorted(str(key) for key in found if key not in known):
        raise BadPlanError(f"{name} has {unknown[0][:40]!r}, which is not known.", name)
    if empty := sorted(key for key, value in found.items() if value is None):
        raise BadPlanError(f"{empty[0]} is null; leave it out to say nothing.", empty[0])
    if needs_all and (missing := [key for key in known if key not in found]):
        raise BadPlanError(f"{name} lacks {missing[0]}.", name)
    return dict(found)


def _list(given: dict[str, Any], name: str) -> list[Any]:
    found = given.get(name, [])
    if type(found) is not list:
        raise BadPlanError(f"{name} is not a list.", name)
    return found


def _text(given: dict[str, Any], name: str) -> str:
    found = given.get(name)
    if type(found) is not str:
        raise BadPlanError(f"{name} is missing, or no text.", name)
    return found
