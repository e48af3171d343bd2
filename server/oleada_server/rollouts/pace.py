"""How fast boxes may begin: a rate per minute, and limits on how many load at one time.

Pure. The shapes of the rate are those of AWS IoT Jobs (``JobExecutionsRolloutConfig``): a
constant ``maximumPerMinute``, or an exponential rate with ``baseRatePerMinute``,
``incrementFactor`` and a count of notified or succeeded things after which it grows.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.plan import exact

RATE_MAX: Final = 1_000_000
FACTOR_MIN: Final = 1.1
FACTOR_MAX: Final = 10
BYTES_S_MAX: Final = 10**13
BOXES_MAX: Final = 10_000_000


def whole(field: str, value: object, low: int, high: int) -> None:
    """Let *value* pass if it is a whole number from *low* to *high*.

    Raises:
        BadPlanError: It is anything else; never read as "no limit".
    """
    if type(value) is not int or not low <= value <= high:
        raise BadPlanError(f"{field} is {value!r}; {low} to {high} was expected.", field)


class GrowsOn(StrEnum):
    """What an exponential rate grows with."""

    NOTIFIED = "notified"
    SUCCEEDED = "succeeded"


@dataclass(frozen=True, slots=True)
class Constant:
    """At most *per_minute* boxes begin in any minute."""

    per_minute: int

    def __post_init__(self) -> None:
        whole("per_minute", self.per_minute, 1, RATE_MAX)


@dataclass(frozen=True, slots=True)
class Exponential:
    """A rate that is multiplied by *factor* with every so many boxes.

    Attributes:
        base_per_minute: What it begins with.
        factor: ``FACTOR_MIN`` to ``FACTOR_MAX``.
        every: So many boxes more, by *on*, multiply the rate once.
        max_per_minute: It grows no further; at least *base_per_minute*.
    """

    base_per_minute: int
    factor: float
    every: int
    on: GrowsOn
    max_per_minute: int

    def __post_init__(self) -> None:
        whole("base_per_minute", self.base_per_minute, 1, RATE_MAX)
        whole("max_per_minute", self.max_per_minute, self.base_per_minute, RATE_MAX)
        whole("every", self.every, 1, BOXES_MAX)
        if type(self.factor) not in (int, float) or not FACTOR_MIN <= self.factor <= FACTOR_MAX:
            raise BadPlanError(
                f"factor is {self.factor!r}; {FACTOR_MIN} to {FACTOR_MAX} was expected.",
                "factor",
            )


Rate = Constant | Exponential


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many boxes may be at work or load at one time; None is no such limit.

    Attributes:
        in_flight_max_per_region: Boxes of one region that hold a lease.
        bandwidth_max_bytes_s: What all boxes of the rollout may load together.
        bandwidth_max_per_region_bytes_s: The same for the boxes of one region.
        box_bytes_s: What one box is taken to load while it loads.
    """

    in_flight_max_per_region: int | None = None
    bandwidth_max_bytes_s: int | None = None
    bandwidth_max_per_region_bytes_s: int | None = None
    box_bytes_s: int = 1_000_000

    def __post_init__(self) -> None:
        whole("box_bytes_s", self.box_bytes_s, 1, BYTES_S_MAX)
        if self.in_flight_max_per_region is not None:
            whole("in_flight_max_per_region", self.in_flight_max_per_region, 1, BOXES_MAX)
        for field in ("bandwidth_max_bytes_s", "bandwidth_max_per_region_bytes_s"):
            limit = getattr(self, field)
            if limit is not None:
                # Below what one box loads no box could ever begin.
                whole(field, limit, self.box_bytes_s, BYTES_S_MAX)

    @property
    def loading_max(self) -> int | None:
        """Return how many boxes may load at one time, None for no limit."""
        limit = self.bandwidth_max_bytes_s
        return None if limit is None else limit // self.box_bytes_s

    @property
    def loading_max_per_region(self) -> int | None:
        """Return how many boxes of one region may load at one time, None for no limit."""
        limit = self.bandwidth_max_per_region_bytes_s
        return None if limit is None else limit // self.box_bytes_s


NO_CAPS: Final = Caps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a rollout's boxes do at this moment, without the one that asks.

    Attributes:
        begun: Leases to begin that were granted in the last minute.
        notified: Boxes that were ever assigned.
        succeeded: Boxes that are updated.
        in_flight_region: Boxes at work in the region of the one that asks.
        loading: Boxes that hold a lease and have not finished loading.
    """

    begun: int = 0
    notified: int = 0
    succeeded: int = 0
    in_flight_region: int = 0
    loading: int = 0
    loading_region: int = 0


class Full(StrEnum):
    """Which limit a box that asks to begin has met."""

    RATE = "rate"
    REGION = "in-flight-region"
    BANDWIDTH = "bandwidth"
    REGION_BANDWIDTH = "bandwidth-region"


def per_minute(rate: Rate, notified: int, succeeded: int) -> int:
    """Return how many boxes may begin in a minute by now."""
    if isinstance(rate, Constant):
        return rate.per_minute
    steps = (notified if rate.on is GrowsOn.NOTIFIED else succeeded) // rate.every
    found, factor = Fraction(rate.base_per_minute), exact(rate.factor)
    while steps and found < rate.max_per_minute:
        found, steps = found * factor, steps - 1
    return min(int(found), rate.max_per_minute)


def met(rate: Rate | None, caps: Caps, traffic: Traffic) -> list[Full]:
    """Return every limit that keeps one more box from beginning; none if it may."""
    limits = (
        (Full.RATE, traffic.begun, _rate_limit(rate, traffic)),
        (Full.REGION, traffic.in_flight_region, caps.in_flight_max_per_region),
        (Full.BANDWIDTH, traffic.loading, caps.loading_max),
        (Full.REGION_BANDWIDTH, traffic.loading_region, caps.loading_max_per_region),
    )
    return [full for full, found, limit in limits if limit is not None and found >= limit]


def _rate_limit(rate: Rate | None, traffic: Traffic) -> int | None:
    return None if rate is None else per_minute(rate, traffic.notified, traffic.succeeded)
