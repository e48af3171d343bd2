"""What pages and programs read of rollouts: exact numbers, one query each, nothing written."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from oleada_wire.messages import Window
from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import joinedload, selectinload

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.rollouts import rows, rules
from oleada_server.rollouts.authorise import window_of
from oleada_server.rollouts.cover import where_from
from oleada_server.rollouts.evidence import ledger
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan import Outcome
from oleada_server.rollouts.plan_box import outcome, tally_of
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import PENDING, BoxState, RolloutState, WaveState

LIST_MAX: Final = 200
BOXES_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class WaveCounts:
    """How many boxes of a wave are in each state, and have each outcome."""

    wave_id: int
    position: int
    boxes: int
    states: dict[BoxState, int]
    outcomes: dict[Outcome, int]
    soaked: int = 0

    @property
    def stages(self) -> dict[str, int]:
        """Return how many boxes have come how far: each stage is part of the one before.

        Unproven stands apart: installed, as the box says, and not seen to run it yet.
        Installed is not healthy: only ``healthy`` opens a gate, and only ``soaked``, whose
        trial is ripe, is evidence.
        """
        healthy = self.states[BoxState.UPDATED]
        booted = healthy + self.states[BoxState.CHECKING]
        unproven = self.states[BoxState.UNPROVEN]
        installed = booted + self.states[BoxState.RESTARTING] + unproven
        soaked = min(self.soaked, healthy)
        return {
            "installed": installed,
            "unproven": unproven,
            "booted": booted,
            "healthy": healthy,
            "soaked": soaked,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """Boxes of a rollout that ended alike.

    Attributes:
        reason: A code of the wire, ``silent``, or ``unknown``.
        example: The newest sentence that one of them gave.
        runs_now: By version, how many of them run it now.
        first_at: When the first of them ended so.
    """

    reason: str
    state: BoxState
    outcome: Outcome
    boxes: int
    example: str
    runs_now: dict[str, int]
    first_at: datetime


@dataclass(frozen=True, slots=True)
class BoxFilter:
    """Which boxes of a rollout; None leaves a question open."""

    wave_position: int | None = None
    state: BoxState | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BoxRow:
    """One box of a rollout as a list shows it."""

    device_id: str
    serial: str
    wave_position: int
    state: BoxState
    attempt: int
    reason: str | None
    detail: str | None
    done_bytes: int
    version_before: str | None
    version_now: str | None
    changed_at: datetime


@dataclass(slots=True)
class _Group:
    first_at: datetime
    boxes: int = 0
    example: str = ""
    runs_now: dict[str, int] = field(default_factory=dict)


def get(rollout_id: int) -> Rollout:
    """Return the rollout with its release and its waves.

    Raises:
        RolloutNotFoundError: There is none.
    """
    return rows.loaded(rollout_id)


def list_rollouts(
    *,
    before_id: int | None = None,
    limit: int = 50,
    states: Collection[RolloutState] = frozenset(RolloutState),
) -> Sequence[Rollout]:
    """Return rollouts in *states*, newest first, below *before_id*.

    At most *limit*, or ``LIST_MAX``.
    """
    query = select(Rollout).options(joinedload(Rollout.release), selectinload(Rollout.waves))
    if before_id is not None:
        query = query.where(Rollout.id < before_id)
    if len(states) < len(RolloutState):
        query = query.where(Rollout.state.in_(states))
    query = query.order_by(Rollout.id.desc()).limit(max(1, min(limit, LIST_MAX)))
    return db.session.scalars(query).all()


def count_in(states: Collection[RolloutState]) -> int:
    """Return how many rollouts are in *states*."""
    query = select(func.count()).select_from(Rollout).where(Rollout.state.in_(states))
    return db.session.scalar(query) or 0


def list_waiting() -> Sequence[Rollout]:
    """Return rollouts that a person may have to decide about, oldest first; ``LIST_MAX``.

    Plans that were asked about, sent back or await approval, and running ones with a
    held wave or with one that approvers have not signed yet.
    """
    is_unsigned = and_(Wave.sign_request.is_not(None), Wave.authorisation.is_(None))
    stands_still = or_(Wave.state == WaveState.HELD, is_unsigned)
    held = select(Wave.id).where(Wave.rollout_id == Rollout.id, stands_still)
    was_asked = and_(Rollout.state == RolloutState.DRAFT, Rollout.asked_by.is_not(None))
    waits = or_(
        Rollout.state == RolloutState.AWAITING_APPROVAL,
        was_asked,
        and_(Rollout.state == RolloutState.RUNNING, held.exists()),
    )
    query = select(Rollout).options(joinedload(Rollout.release), selectinload(Rollout.waves))
    return db.session.scalars(query.where(waits).order_by(Rollout.id).limit(LIST_MAX)).all()


def summary(rollout_id: int) -> list[WaveCounts]:
    """Return the numbers of each wave, in order; those of a draft are zero.

    Raises:
        RolloutNotFoundError: There is none.
    """
    rollout, found = rows.loaded(rollout_id), rows.counts(rollout_id)
    soaked = ledger.soaked(rollout_id)
    beside = ledger.terms_of(rollout_id) is not None
    waves = []
    for wave in rollout.waves:
        mine = found.get(wave.id, [])
        states = dict.fromkeys(BoxState, 0)
        for state, _, boxes_in_state in mine:
            states[state] += boxes_in_state
        counted = WaveCounts(
            wave.id, wave.position, wave.boxes, states, tally_of(mine, beside=beside)
        )
        waves.append(replace(counted, soaked=soaked.get(wave.id, 0)))
    return waves


def why_failed(rollout_id: int) -> list[Failure]:
    """Return the boxes that ended otherwise than updated, by reason, most first."""
    query = (
        select(
            BoxInWave.state,
            BoxInWave.reason,
            Device.version,
            func.count(),
            func.max(BoxInWave.detail),
            func.min(func.coalesce(BoxInWave.ended_at, BoxInWave.changed_at)),
        )
        .join(Device, Device.id == BoxInWave.device_id)
        .where(
            BoxInWave.rollout_id == rollout_id,
            BoxInWave.state.not_in(PENDING | {BoxState.UPDATED}),
        )
        .group_by(BoxInWave.state, BoxInWave.reason, Device.version)
        .order_by(BoxInWave.state, BoxInWave.reason, Device.version)
    )
    beside = ledger.terms_of(rollout_id) is not None
    groups: dict[tuple[BoxState, str | None], _Group] = {}
    for state, reason, version, count, detail, first_at in db.session.execute(query):
        group = groups.setdefault((BoxState(state), reason), _Group(first_at))
        group.boxes += count
        group.first_at = min(group.first_at, first_at)
        group.example = max(group.example, detail or "")
        group.runs_now[version or "unknown"] = group.runs_now.get(version or "unknown", 0) + count
    failures = [
        Failure(
            reason=("silent" if state is BoxState.SILENT else reason or "unknown"),
            state=state,
            outcome=outcome(state, reason, beside=beside),
            boxes=group.boxes,
            example=group.example,
            runs_now=group.runs_now,
            first_at=group.first_at,
        )
        for (state, reason), group in groups.items()
    ]
    return sorted(failures, key=lambda failure: (-failure.boxes, failure.reason))


def boxes(
    rollout_id: int,
    wanted: BoxFilter | None = None,
    *,
    after: str | None = None,
    limit: int = 100,
) -> list[BoxRow]:
    """Return boxes by device id, from the one behind *after*; at most *limit*, or ``BOXES_MAX``.

    Raises:
        RolloutNotFoundError: There is no such rollout.
    """
    rollout, wanted = rows.loaded(rollout_id), wanted or BoxFilter()
    positions = {wave.id: wave.position for wave in rollout.waves}
    query = (
        select(BoxInWave, Device.serial, Device.version)
        .join(Device, Device.id == BoxInWave.device_id)
        .where(BoxInWave.rollout_id == rollout_id)
    )
    if wanted.wave_position is not None:
        ids = [key for key, position in positions.items() if position == wanted.wave_position]
        query = query.where(BoxInWave.wave_id.in_(ids))
    if wanted.state is not None:
        query = query.where(BoxInWave.state == wanted.state)
    if wanted.reason is not None:
        query = query.where(BoxInWave.reason == wanted.reason)
    if after is not None:
        query = query.where(BoxInWave.device_id > after)
    query = query.order_by(BoxInWave.device_id).limit(max(1, min(limit, BOXES_MAX)))
    return [
        BoxRow(
            device_id=box.device_id,
            serial=serial,
            wave_position=positions[box.wave_id],
            state=BoxState(box.state),
            attempt=box.attempt,
            reason=box.reason,
            detail=box.detail,
            done_bytes=box.done_bytes,
            version_before=box.version_before,
            version_now=version,
            changed_at=box.changed_at,
        )
        for box, serial, version in db.session.execute(query)
    ]


def spec_of(rollout: Rollout) -> RolloutSpec:
    """Return the plan that *rollout* was made from.

    Raises:
        ImpossibleFactsError: Its rules can not be read.
        BadPlanError: The filter of a wave can not be read.
    """
    window: Window | None = window_of(rollout)
    return RolloutSpec(
        hardware_model=rollout.release.hardware_model,
        version=rollout.release.version,
        waves=tuple(
            WaveSpec(
                name=wave.name,
                share_until=wave.share_until,
                device_ids=None if wave.device_ids is None else tuple(wave.device_ids),
                count=wave.box_count,
                where=None if wave.box_filter is None else where_from(wave.box_filter),
                success_share_min=wave.success_share_min,
                failed_share_max=wave.failed_share_max,
                silent_share_max=wave.silent_share_max,
                sample_min=wave.sample_min,
                soak_s=wave.soak_s,
            )
            for wave in rollout.waves
        ),
        name=rollout.name,
        start_at=rollout.start_at,
        window=window,
        silent_after_s=rollout.silent_after_s,
        attempts_max=rollout.attempts_max,
        in_flight_max=rollout.in_flight_max,
        spread_s=rollout.spread_s,
        lease_s=rollout.lease_s,
        salt=rollout.salt,
        rules=rules.read(rollout.rules),
        evidence=ledger.spec_of(rollout.id),
    )
