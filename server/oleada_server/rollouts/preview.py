"""Which boxes a plan covers, wave by wave, and why the others are left out.

The preview and the start of a rollout call the same function, so what a person was
shown is what is stored, as long as the fleet and the salt are the same.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from oleada_wire.version import version_key
from sqlalchemy import Subquery, func, null, select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import groups
from oleada_server.rollouts.choosing import Member, chooser, evenest
from oleada_server.rollouts.cover import BoxKind
from oleada_server.rollouts.eligible import (
    MATTER_OF_PLANNING,
    Candidate,
    LeftOut,
    Needs,
    failing,
)
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import OPEN_ROLLOUTS

__all__ = ["Covered", "LeftOut", "Preview", "Tally", "WavePreview", "shown"]

READ_AT_ONCE: Final = 5000
SALT_TRIAL_BOXES_MAX: Final = 2000
"""Up to this fleet the best of the drawn salts is taken; beyond it chance is even enough."""


@dataclass(slots=True)
class Tally:
    """What a walk over the boxes of a model has counted.

    *left_out* counts boxes by the first reason, *gains* those that nothing else keeps out.
    """

    left_out: Counter[LeftOut] = field(default_factory=Counter)
    gains: Counter[LeftOut] = field(default_factory=Counter)


class Covered:
    """Which boxes a plan covers now: walked over when it is asked for, never held as a whole.

    Args:
        spec: As planned.
        release: What its boxes are to get.
        salts: The first is taken; in a small fleet that has none yet, the evenest.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """

    def __init__(self, spec: RolloutSpec, release: Release, salts: Sequence[str]) -> None:
        waves = spec.waves
        self._needs = needs_of(release, spec.rules.back_from)
        self._model = release.hardware_model
        self._named = named_groups(waves)
        self.salt = salts[0]
        if len(salts) > 1 and _is_small(self._model):
            self.salt = evenest(waves, list(self.eligible()), salts)
        self._wave_of = chooser(waves, self.salt, self.eligible)

    def eligible(self, tally: Tally | None = None) -> Iterator[Member]:
        """Yield every box that may have the release, by id; *tally* counts the others."""
        known: dict[object, tuple[list[LeftOut], BoxKind]] = {}
        for one in candidates(self._model, self._named):
            key = (one.kind, one.security_version, one.claimed_by is None, one.is_revoked)
            found = known.get(key)
            if found is None:
                found = known[key] = (list(failing(one, self._needs)), one.kind)
            reasons, kind = found
            if not reasons:
                yield Member(one.device_id, kind)
            elif tally is not None:
                tally.left_out[reasons[0]] += 1
                if len(reasons) == 1 and reasons[0] in MATTER_OF_PLANNING:
                    tally.gains[reasons[0]] += 1

    def members(self, tally: Tally | None = None) -> Iterator[tuple[int, Member]]:
        """Yield each box that is covered with the place of its wave, from 0; by id."""
        for member in self.eligible(tally):
            at = self._wave_of(member)
            if at is not None:
                yield at, member
            elif tally is not None:
                tally.left_out[LeftOut.NO_WAVE] += 1
                tally.gains[LeftOut.NO_WAVE] += 1


@dataclass(frozen=True, slots=True)
class WavePreview:
    """One wave of a preview."""

    name: str
    boxes: int
    from_versions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rollout would do if it started now.

    *left_out* counts boxes by the first reason, *gains* how many more there would be without
    that one rule; *zones* and *regions* count those of the waves by where they are.
    """

    hardware_model: str
    version: str
    size_bytes: int
    salt: str
    waves: tuple[WavePreview, ...]
    left_out: dict[LeftOut, int]
    boxes: int
    zones: dict[str, int]
    regions: dict[str, int]
    gains: dict[LeftOut, int]


def shown(spec: RolloutSpec, release: Release, salts: Sequence[str]) -> Preview:
    """Return what *spec* covers, as a person is shown it; the salt is *spec*'s or one of *salts*.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """
    covered = Covered(spec, release, [spec.salt] if spec.salt else salts)
    tally = Tally()
    kinds: list[Counter[BoxKind]] = [Counter() for _ in spec.waves]
    for at, member in covered.members(tally):
        kinds[at][member.kind] += 1
    tally.left_out[LeftOut.OTHER_MODEL] = _strangers(spec.waves, release.hardware_model)
    together = sum(kinds, Counter())
    return Preview(
        release.hardware_model,
        release.version,
        release.size_bytes,
        covered.salt,
        tuple(
            WavePreview(wave.name, found.total(), _by(found, lambda kind: kind.version))
            for wave, found in zip(spec.waves, kinds, strict=True)
        ),
        _counted(tally.left_out),
        together.total(),
        _by(together, lambda kind: kind.zone or "UTC"),
        _by(together, lambda kind: kind.region),
        _counted(tally.gains),
    )


def needs_of(release: Release, back_from: str | None = None) -> Needs:
    """Return what *release* asks of a box, with the versions that it may not skip.

    Boxes that run the newer version *back_from* may have it too.
    """
    query = select(Release.version).where(
        Release.hardware_model == release.hardware_model,
        Release.state == ReleaseState.PUBLISHED,
        Release.denied_at.is_(None),
        Release.must_pass,
    )
    wanted = version_key(release.version)
    passes = [one for one in db.session.scalars(query) if version_key(one) < wanted]
    return Needs(
        release.version,
        release.security_version,
        release.min_version,
        frozenset(release.depends or ()),
        tuple(sorted(passes, key=version_key)),
        back_from,
    )


def named_groups(waves: Sequence[WaveSpec]) -> frozenset[str]:
    """Return the groups that *waves* choose by."""
    return frozenset(name for wave in waves if wave.where for name in wave.where.group)


def candidates(
    hardware_model: str,
    named: frozenset[str],
    device_id: str | None = None,
    *,
    outside: int | None = None,
) -> Iterator[Candidate]:
    """Yield every box of a model by id, or the one of *device_id*, with its *named* groups.

    They come from the database as they are asked for. *outside* is a rollout whose boxes
    are not among them.

    Raises:
        NoSuchGroupError: One of *named* is not there.
    """
    claims = _claims(device_id)
    query = (
        select(
            Device.id, Device.version, Device.zone, Device.region, Device.provides,
            Device.security_version, null() if claims is None else claims.c.rollout_id,
            Device.revoked_at,
        )
        .where(Device.hardware_model == hardware_model)
        .order_by(Device.id)
    )  # fmt: skip
    if claims is not None:
        query = query.outerjoin(claims, claims.c.device_id == Device.id)
    if device_id is not None:
        query = query.where(Device.id == device_id)
    if outside is not None:
        mine = select(BoxInWave.device_id).where(
            BoxInWave.rollout_id == outside, BoxInWave.device_id == Device.id
        )
        query = query.where(~mine.exists())
    of_groups = groups.reader(named, device_id)
    rows = db.session.execute(query, execution_options={"yield_per": READ_AT_ONCE})
    for row in rows:
        found_id, version, zone, region, provides, security_version, claimed, revoked_at = row
        told = frozenset(provides) if provides else _NOTHING
        kind = BoxKind(region=region, version=version, zone=zone, provides=told)
        kind = of_groups(found_id, kind) if named else kind
        yield Candidate(found_id, kind, security_version, claimed, revoked_at is not None)


_NOTHING: Final[frozenset[str]] = frozenset()


def _of_model(device_ids: set[str], hardware_model: str) -> set[str]:
    if not device_ids:
        return set()
    query = select(Device.id).where(Device.hardware_model == hardware_model)
    return device_ids & set(db.session.scalars(query))


def _strangers(waves: Sequence[WaveSpec], hardware_model: str) -> int:
    """Return how many boxes that *waves* list are unknown, or of another model."""
    listed = {device_id for wave in waves for device_id in wave.device_ids or ()}
    return len(listed - _of_model(listed, hardware_model))


def _is_small(hardware_model: str) -> bool:
    query = select(Device.id).where(Device.hardware_model == hardware_model)
    return db.session.scalar(query.offset(SALT_TRIAL_BOXES_MAX).limit(1)) is None


def _by(kinds: Counter[BoxKind], name: Callable[[BoxKind], str | None]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for kind, boxes in kinds.items():
        found[name(kind) or ""] += boxes
    return dict(found)


def _counted(found: Counter[LeftOut]) -> dict[LeftOut, int]:
    """Return *found* in the order of the rules, without those that left nobody out."""
    return {reason: found[reason] for reason in found if found[reason]}


def _claims(device_id: str | None) -> Subquery | None:
    """Select the open rollout that has each box that one has; None while none is open.

    Joined once, and not asked for each box: who starts a rollout writes boxes while they are
    read, and a planner that takes the table for empty would walk all of them each time.
    """
    is_open = select(Rollout.id).where(Rollout.state.in_(OPEN_ROLLOUTS))
    found = db.session.scalars(is_open).all()
    if not found:
        return None
    query = select(BoxInWave.device_id, func.min(BoxInWave.rollout_id).label("rollout_id"))
    if device_id is not None:
        query = query.where(BoxInWave.device_id == device_id)
    mine = query.where(BoxInWave.rollout_id.in_(found)).group_by(BoxInWave.device_id)
    return mine.subquery()
