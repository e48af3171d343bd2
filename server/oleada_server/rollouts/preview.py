"""Which boxes a plan covers, wave by wave, and why the others are left out.

The preview and the start of a rollout call the same function, so what a person was
shown is what is stored, as long as the fleet and the salt are the same.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from oleada_wire.cohort import SHARE_PARTS, place
from oleada_wire.version import version_key
from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import groups
from oleada_server.rollouts.cover import BoxKind, matches
from oleada_server.rollouts.eligible import (
    MATTER_OF_PLANNING,
    Candidate,
    LeftOut,
    Needs,
    failing,
)
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import OPEN_ROLLOUTS

__all__ = ["LeftOut", "Member", "Membership", "Preview", "WavePreview", "membership", "shown"]

SALT_TRIAL_BOXES_MAX: Final = 2000
"""Up to this fleet the best of the drawn salts is taken; beyond it chance is even enough."""


@dataclass(frozen=True, slots=True)
class Member:
    """A box that a wave covers."""

    device_id: str
    kind: BoxKind

    @property
    def version(self) -> str:
        """Return the version that it runs before."""
        return self.kind.version or ""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a plan covers: one tuple of members for each wave, sorted by device id.

    *gains* counts, for each reason, the boxes that nothing else keeps out.
    """

    salt: str
    waves: tuple[tuple[Member, ...], ...]
    left_out: dict[LeftOut, int]
    gains: dict[LeftOut, int]


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


def membership(spec: RolloutSpec, release: Release, salts: Sequence[str]) -> Membership:
    """Return which boxes *spec* covers now; the salt is *spec*'s or the evenest of *salts*.

    Raises:
        NoSuchGroupError: A wave names a group that is not there.
    """
    needs = needs_of(release)
    left_out: Counter[LeftOut] = Counter()
    gains: Counter[LeftOut] = Counter()
    eligible = []
    for candidate in candidates(release.hardware_model, named_groups(spec.waves)):
        if reasons := list(failing(candidate, needs)):
            left_out[reasons[0]] += 1
            if len(reasons) == 1 and reasons[0] in MATTER_OF_PLANNING:
                gains[reasons[0]] += 1
        else:
            eligible.append(Member(candidate.device_id, candidate.kind))
    listed = {device_id for wave in spec.waves for device_id in wave.device_ids or ()}
    left_out[LeftOut.OTHER_MODEL] = len(listed - _of_model(listed, release.hardware_model))
    salt = spec.salt or _evenest(spec.waves, eligible, salts)
    waves = _sorted_into(spec.waves, eligible, salt)
    left_out[LeftOut.NO_WAVE] = gains[LeftOut.NO_WAVE] = len(eligible) - sum(map(len, waves))
    return Membership(
        salt,
        waves,
        {reason: n for reason, n in left_out.items() if n},
        {reason: n for reason, n in gains.items() if n},
    )


def shown(spec: RolloutSpec, release: Release, found: Membership) -> Preview:
    """Return *found* as a person is shown it."""
    waves = tuple(
        WavePreview(wave.name, len(members), dict(Counter(m.version for m in members)))
        for wave, members in zip(spec.waves, found.waves, strict=True)
    )
    kinds = [member.kind for members in found.waves for member in members]
    return Preview(
        release.hardware_model,
        release.version,
        release.size_bytes,
        found.salt,
        waves,
        found.left_out,
        sum(wave.boxes for wave in waves),
        dict(Counter(kind.zone or "UTC" for kind in kinds)),
        dict(Counter(kind.region or "" for kind in kinds)),
        found.gains,
    )


def needs_of(release: Release) -> Needs:
    """Return what *release* asks of a box, with the versions that it may not skip."""
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
    )


def named_groups(waves: Sequence[WaveSpec]) -> frozenset[str]:
    """Return the groups that *waves* choose by."""
    return frozenset(name for wave in waves if wave.where for name in wave.where.group)


def candidates(
    hardware_model: str, named: frozenset[str], device_id: str | None = None
) -> Iterator[Candidate]:
    """Yield every box of a model by id, or the one of *device_id*, with its *named* groups.

    Raises:
        NoSuchGroupError: One of *named* is not there.
    """
    claimed_by = (
        select(func.min(BoxInWave.rollout_id))
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(Rollout.state.in_(OPEN_ROLLOUTS), BoxInWave.device_id == Device.id)
        .scalar_subquery()
    )
    query = (
        select(
            Device.id, Device.version, Device.zone, Device.region, Device.provides,
            Device.security_version, claimed_by, Device.revoked_at,
        )
        .where(Device.hardware_model == hardware_model)
        .order_by(Device.id)
    )  # fmt: skip
    if device_id is not None:
        query = query.where(Device.id == device_id)
    of_groups = groups.reader(named, device_id)
    for row in db.session.execute(query):
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


def _sorted_into(
    waves: Sequence[WaveSpec], eligible: Sequence[Member], salt: str
) -> tuple[tuple[Member, ...], ...]:
    """Return the members of each wave; a box is in the first wave that covers it."""
    found = []
    left: Sequence[Member] = eligible
    for wave in waves:
        members = _chosen(wave, left, salt)
        found.append(tuple(members))
        if members:
            taken = {member.device_id for member in members}
            left = [member for member in left if member.device_id not in taken]
    return tuple(found)


def _chosen(wave: WaveSpec, left: Sequence[Member], salt: str) -> Sequence[Member]:
    """Return those of *left* that *wave* takes, by device id."""
    if wave.share_until is not None:
        parts = share_parts(wave.share_until)
        return [member for member in left if place(salt, member.device_id) < parts]
    if wave.device_ids is not None:
        listed = frozenset(wave.device_ids)
        return [member for member in left if member.device_id in listed]
    where = wave.where
    members = left if where is None else [one for one in left if matches(where, one.kind)]
    if wave.count is None or len(members) <= wave.count:
        return members
    drawn = heapq.nsmallest(wave.count, members, key=lambda one: _draw(salt, one.device_id))
    return sorted(drawn, key=lambda one: one.device_id)


def _draw(salt: str, device_id: str) -> bytes:
    """Return what orders boxes that are drawn by number; finer than a place, and another order."""
    return hashlib.sha256(f"{salt}\x00count\x00{device_id}".encode()).digest()


def share_parts(share_until: float | None) -> int:
    """Return a cumulative share as the wire carries it: 0 to 10 000, 0 for a list."""
    return 0 if share_until is None else int(exact(share_until) * SHARE_PARTS)


def _evenest(waves: Sequence[WaveSpec], eligible: Sequence[Member], salts: Sequence[str]) -> str:
    """Return the salt under which the waves come out closest to their shares.

    In a small fleet chance alone would often leave a first wave of 5 % empty.
    """
    if len(eligible) > SALT_TRIAL_BOXES_MAX:
        return salts[0]

    def unevenness(salt: str) -> tuple[int, float]:
        sizes = [len(members) for members in _sorted_into(waves, eligible, salt)]
        before = 0.0
        off = 0.0
        for wave, size in zip(waves, sizes, strict=True):
            if wave.share_until is not None:
                off += abs(size - (wave.share_until - before) * len(eligible))
                before = wave.share_until
        return sizes.count(0), off

    return min(salts, key=unevenness)
