"""Loads what ``explain.explain`` needs of one box and one release or rollout; writes nothing."""

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import select

from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import left_alone, permits, preview, rows, rules, ticks
from oleada_server.rollouts.eligible import Candidate
from oleada_server.rollouts.errors import BadPlanError, NoSuchReleaseError
from oleada_server.rollouts.evidence import ledger, trials
from oleada_server.rollouts.explain import Explanation, Facts, InWave, RolloutFacts, explain
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.plan import ImpossibleFactsError
from oleada_server.rollouts.reading import spec_of
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState


def of_rollout(device_id: str, rollout_id: int, now: datetime) -> Explanation:
    """Return why the box is served by a rollout, or why not.

    Raises:
        DeviceNotFoundError: There is no such box.
        RolloutNotFoundError: There is no such rollout.
        BadPlanError: The box is of another model, or the rules can not be read.
    """
    device, rollout = devices.get(device_id), rows.loaded(rollout_id)
    return _explained(device, rollout.release, rollout, now)


def of_release(device_id: str, version: str | None, now: datetime) -> tuple[Explanation, str]:
    """Return why the box gets *version*, or why not, and the version; None for the newest.

    Judged by the rollout of the release that has the box, else by the newest one that
    has not ended, else by none.

    Raises:
        DeviceNotFoundError: There is no such box.
        NoSuchReleaseError: There is no such release for its model, or none at all.
        BadPlanError: The rules of the rollout can not be read.
    """
    device = devices.get(device_id)
    release = _release(device.hardware_model, version)
    return _explained(device, release, _rollout_of(device_id, release), now), release.version


def _explained(
    device: Device, release: Release, rollout: Rollout | None, now: datetime
) -> Explanation:
    if device.hardware_model != release.hardware_model:
        raise BadPlanError(
            f"The box is a {device.hardware_model}; the release is for {release.hardware_model}.",
            "device_id",
        )
    try:
        spec = None if rollout is None else spec_of(rollout)
    except ImpossibleFactsError as error:
        raise BadPlanError(f"Nothing can be said of this rollout: {error}.", "rules") from error
    named = preview.named_groups(() if spec is None else spec.waves)
    box = next(iter(preview.candidates(device.hardware_model, named, device.id)))
    other = box.claimed_by if rollout is None or box.claimed_by != rollout.id else None
    silent_after = timedelta(seconds=settings.current().silent_after_s)
    seen = device.last_seen_at
    facts = Facts(
        box=replace(box, claimed_by=other),
        needs=preview.needs_of(release, None if spec is None else spec.rules.back_from),
        is_published=release.state == ReleaseState.PUBLISHED,
        is_revoked=device.revoked_at is not None,
        claimed_by=None if other is None else f"R-{other}",
        last_seen_at=seen,
        is_silent=seen is None or now - seen > silent_after,
        zone=ticks.zone_of(device.zone),
        rollout=None if rollout is None else _rollout_facts(rollout, box, now),
    )
    return explain(facts, now)


def _rollout_facts(rollout: Rollout, box: Candidate, now: datetime) -> RolloutFacts:
    spec, found = spec_of(rollout), rules.read(rollout.rules)
    query = select(BoxInWave, Wave).join(Wave, Wave.id == BoxInWave.wave_id)
    mine = db.session.execute(
        query.where(BoxInWave.rollout_id == rollout.id, BoxInWave.device_id == box.device_id)
    ).one_or_none()
    row = None if mine is None else mine[0]
    return RolloutFacts(
        ref=f"R-{rollout.id}",
        state=RolloutState(rollout.state),
        salt=rollout.salt,
        waves=spec.waves,
        mine=None if mine is None else _in_wave(mine[0], mine[1], rollout.attempts_max),
        times=permits.times_of(rollout),
        rate=found.rate,
        caps=found.caps,
        traffic=permits.traffic(rollout.id, row, found, now) if row else permits.NO_TRAFFIC,
        in_flight=trials.in_flight(rollout.id, -1 if row is None else row.id, now),
        in_flight_max=rollout.in_flight_max,
        room=_room(rollout),
        has_place=row is not None and trials.has_place(row, now),
        left_alone=_left_alone(rollout, box.device_id, now),
    )


def _room(rollout: Rollout) -> int | None:
    if ledger.terms_of(rollout.id) is None:
        return None
    return ledger.room(rollout.id, rollout.in_flight_max)


def _left_alone(rollout: Rollout, device_id: str, now: datetime) -> str:
    notes = [] if rollout.is_forced else left_alone.of(device_id, now)
    return ", ".join(f"{one.kind} until {one.until.isoformat()}" for one in notes)


def _in_wave(row: BoxInWave, wave: Wave, attempts_max: int) -> InWave:
    return InWave(
        position=wave.position,
        wave_state=WaveState.HALTED if ledger.halts(row) else WaveState(wave.state),
        box_state=BoxState(row.state),
        is_signed=wave.sign_request is None or wave.authorisation is not None,
        attempt=row.attempt,
        attempts_max=attempts_max,
    )


def _release(hardware_model: str, version: str | None) -> Release:
    query = select(Release).where(Release.hardware_model == hardware_model)
    if version is not None:
        query = query.where(Release.version == version)
    query = query.order_by(Release.published_at.desc(), Release.id.desc()).limit(1)
    found = db.session.scalars(query).one_or_none()
    if found is None:
        raise NoSuchReleaseError(hardware_model, version or "of any version")
    return found


def _rollout_of(device_id: str, release: Release) -> Rollout | None:
    has_it = (
        select(BoxInWave.id)
        .where(BoxInWave.rollout_id == Rollout.id, BoxInWave.device_id == device_id)
        .exists()
    )
    ended = (RolloutState.FINISHED, RolloutState.HALTED, RolloutState.STOPPED)
    query = (
        select(Rollout.id)
        .where(Rollout.release_id == release.id)
        .order_by(has_it.desc(), Rollout.state.in_(ended), Rollout.id.desc())
        .limit(1)
    )
    rollout_id = db.session.scalar(query)
    return None if rollout_id is None else rows.loaded(rollout_id)
