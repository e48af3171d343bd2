"""What a person plans: a release, waves with limits, a start, a window.

Every limit is checked where it is typed: one that can not be read is refused, never
taken for "no limit".
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TypedDict
from zoneinfo import ZoneInfo

from oleada_wire.cohort import SHARE_PARTS
from oleada_wire.ids import is_device_id
from oleada_wire.messages import Window

from oleada_server.rollouts.cover import Where
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.evidence.spec import EvidenceSpec
from oleada_server.rollouts.plan import ImpossibleFactsError, Limits, exact
from oleada_server.rollouts.rules import Rules
from oleada_server.rollouts.schedule import HORIZON_DAYS, next_opening


class Usual(TypedDict):
    """Limits of a wave that nobody has typed."""

    failed_share_max: float
    sample_min: int


WAVES_MAX: Final = 20
LIST_BOXES_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 80
HOLD_BACK: Final = "Hold-back"
HOLD_BACK_MAX: Final = 0.5
YEAR_S: Final = 366 * 86_400
ALONE: Final = Usual(failed_share_max=0.02, sample_min=10)
"""Limits of a wave that says none, where nothing else judges the release."""
BESIDE_EVIDENCE: Final = Usual(failed_share_max=0.10, sample_min=50)
"""Those beside evidence: a net for what it should have halted long before.

One failure of ten, which is more than the limit alone, would halt every fifth good release.
"""
START_YEARS: Final = range(2000, 2200)
"""Years in which every zone of the world can be shown; beyond them arithmetic overflows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSpec:
    """One wave as planned: a share of the model's fleet, a list, a number, or a filter.

    A number and a filter go together: so many of the boxes that the filter is true of.
    Boxes that an earlier wave covers are in none that comes later.

    Attributes:
        share_until: 0 to 1 and cumulative: 0.05 and then 0.25 are 5 % and the next 20 %.
        device_ids: The boxes themselves.
        count: So many boxes, drawn by the salt.
        where: Boxes with these attributes.
        success_share_min: 0 to 1, of the boxes that are not silent.
        failed_share_max: 0 to 1, of the boxes that are good or bad.
        silent_share_max: 0 to 1, of all boxes of the wave.
        sample_min: Outcomes before success and failure are judged.
    """

    name: str
    share_until: float | None = None
    device_ids: tuple[str, ...] | None = None
    count: int | None = None
    where: Where | None = None
    success_share_min: float = 0.95
    failed_share_max: float = ALONE["failed_share_max"]
    silent_share_max: float = 0.10
    sample_min: int = ALONE["sample_min"]
    soak_s: int = 3600

    def __post_init__(self) -> None:
        if not (1 <= len(self.name) <= NAME_CHARS_MAX and self.name.isprintable()):
            raise BadPlanError(
                f"A wave's name has 1 to {NAME_CHARS_MAX} printable characters.", "name"
            )
        is_chosen = self.count is not None or self.where is not None
        if sum((self.share_until is not None, self.device_ids is not None, is_chosen)) != 1:
            raise BadPlanError(
                f"Wave {self.name} needs one of share_until, device_ids, and count or where.",
                "share_until",
            )
        self._check_cover()
        _check_number("soak_s", self.soak_s, 0, YEAR_S)
        _check_number("sample_min", self.sample_min, 1, 10_000_000)
        try:
            self.limits()
        except ImpossibleFactsError as error:
            raise BadPlanError(f"Wave {self.name}: {error}.", "limits") from error

    def limits(self) -> Limits:
        """Return the limits that the planner judges by."""
        return Limits(
            self.success_share_min,
            self.failed_share_max,
            self.silent_share_max,
            self.sample_min,
            seconds(self.soak_s),
        )

    def _check_cover(self) -> None:
        if self.count is not None:
            _check_number("count", self.count, 1, 10_000_000)
        if self.share_until is not None and (
            not 0 < self.share_until <= 1 or exact(self.share_until) * SHARE_PARTS % 1
        ):
            raise BadPlanError(
                f"share_until of wave {self.name} is {self.share_until}; a share is more "
                "than 0, at most 1, and has at most four decimals (0.05 is 5 %).",
                "share_until",
            )
        if self.device_ids is not None:
            if not 1 <= len(self.device_ids) <= LIST_BOXES_MAX:
                raise BadPlanError(f"A list names 1 to {LIST_BOXES_MAX} boxes.", "device_ids")
            for device_id in self.device_ids:
                if not is_device_id(device_id):
                    raise BadPlanError(f"{device_id[:40]!r} is not a device id.", "device_ids")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """A rollout as planned.

    Attributes:
        start_at: Aware; None to start when a person says so, at once.
        window: Daily, in each box's own zone; None for any time.
        silent_after_s: How long a box that may work can say nothing.
        attempts_max: Attempts of a box before a retryable end counts.
        in_flight_max: Boxes that may hold a lease at one time.
        spread_s: Boxes draw a delay of 0 to this before they begin.
        lease_s: How long a lease lasts if no progress renews it.
        salt: Decides who falls into which share; drawn if None. The preview names the
            one it used, so that what is stored can be what was shown.
        rules: When else boxes may begin, how fast, what is tried again, what ends it.
        evidence: How the release is judged beside the limits; None for limits alone.
    """

    hardware_model: str
    version: str
    waves: tuple[WaveSpec, ...]
    name: str = ""
    start_at: datetime | None = None
    window: Window | None = None
    silent_after_s: int = 86_400
    attempts_max: int = 3
    in_flight_max: int = 500
    spread_s: int = 30
    lease_s: int = 3600
    salt: str | None = None
    rules: Rules = field(default_factory=Rules)
    evidence: EvidenceSpec | None = None

    def __post_init__(self) -> None:
        if self.window is not None and self.rules.schedule.windows:
            raise BadPlanError("A rollout has either a daily window or windows.", "windows")
        if not 1 <= len(self.waves) <= WAVES_MAX:
            raise BadPlanError(f"A rollout has 1 to {WAVES_MAX} waves.", "waves")
        shares = [wave.share_until for wave in self.waves if wave.share_until is not None]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise BadPlanError(
                f"share_until is {shares} over the waves; it is cumulative, so each is more "
                "than the one before.",
                "share_until",
            )
        if not (len(self.name) <= NAME_CHARS_MAX and self.name.isprintable()):
            raise BadPlanError(f"A name has at most {NAME_CHARS_MAX} printable characters.", "name")
        if self.start_at is not None and self.start_at.tzinfo is None:
            raise BadPlanError("start_at needs a zone, such as 2026-11-21T02:00:00+01:00.")
        if self.start_at is not None and self.start_at.year not in START_YEARS:
            raise BadPlanError(
                f"start_at is in the year {self.start_at.year}; {START_YEARS[0]} to "
                f"{START_YEARS[-1]} was expected.",
                "start_at",
            )
        if self.salt is not None and not re.fullmatch(r"[0-9A-Za-z-]{1,32}", self.salt):
            raise BadPlanError("A salt has 1 to 32 letters, digits and dashes.", "salt")
        _check_number("silent_after_s", self.silent_after_s, 1, YEAR_S)
        _check_number("attempts_max", self.attempts_max, 1, 100)
        _check_number("in_flight_max", self.in_flight_max, 1, 10_000_000)
        _check_number("spread_s", self.spread_s, 0, 7 * 86_400)
        _check_number("lease_s", self.lease_s, 10, 7 * 86_400)


def with_hold_back(waves: tuple[WaveSpec, ...], share: float) -> tuple[WaveSpec, ...]:
    """Return *waves* with one more at the end, which keeps boxes back to compare with.

    They are *share*, 0 to 0.5 of the model, of what the last wave would have taken, and get
    the release when all the others have soaked.

    Raises:
        BadPlanError: The last wave is no share, or too small to keep so much back.
    """
    last = waves[-1] if waves else None
    if last is None or last.share_until is None:
        raise BadPlanError("Only of a last wave by share boxes can be kept back.", "hold_back")
    before = max((one.share_until for one in waves[:-1] if one.share_until is not None), default=0)
    if not 0 < share <= HOLD_BACK_MAX or exact(share) * SHARE_PARTS % 1:
        raise BadPlanError(
            f"hold_back is {share}; more than 0, at most {HOLD_BACK_MAX}, with at most four "
            "decimals was expected.",
            "hold_back",
        )
    until = float(exact(last.share_until) - exact(share))
    if until <= before:
        raise BadPlanError(
            f"The last wave takes {last.share_until - before:.2%} of the boxes; {share:.2%} of "
            "them can not be kept back.",
            "hold_back",
        )
    held = replace(last, name=HOLD_BACK, soak_s=0)
    return (*waves[:-1], replace(last, share_until=until), held)


def usual_limits(*, has_evidence: bool) -> Usual:
    """Return the limits of a wave that says none; a copy, the caller's own."""
    found = BESIDE_EVIDENCE if has_evidence else ALONE
    return Usual(failed_share_max=found["failed_share_max"], sample_min=found["sample_min"])


def seconds(number: int) -> timedelta:
    """Return *number* seconds."""
    return timedelta(seconds=number)


def demand_opening(spec: RolloutSpec, now: datetime) -> None:
    """Let *spec* pass if boxes may begin at some time after *now* and its start.

    Raises:
        BadPlanError: Its blackouts leave no time, so that it could never do anything.
    """
    begins = max(now, spec.start_at or now)
    if next_opening(spec.rules.schedule, ZoneInfo("UTC"), begins) is None:
        raise BadPlanError(
            f"The windows and blackouts leave no time to begin within {HORIZON_DAYS} days.",
            "blackouts",
        )


def _check_number(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise BadPlanError(f"{name} is {value}; {low} to {high} was expected.", name)
