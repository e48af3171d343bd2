"""Which boxes a plan covers, wave by wave, and why the others are left out.

The preview and the start of a rollout call the same function, so what a person was
shown is what is stored, as long as the fleet and the salt are the same.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from oleada_wire.cohort import SHARE_PARTS, place
from oleada_wire.version import is_version, version_key
from sqlalchemy import select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.plan import exact
from oleada_server.rollouts.spec import RolloutSpec, WaveSpec
from oleada_server.rollouts.states import OPEN_ROLLOUTS

SALT_TRIAL_BOXES_MAX: Final = 2000
"""Up to this fleet the best of the drawn salts is taken; beyond it chance is even enough."""


class LeftOut(StrEnum):
    """Why a box of the model is in no wave."""

    NEVER_HEARD = "never-heard"
    ALREADY_THERE = "already-there"
    RUNS_NEWER = "runs-newer"
    BELOW_MINIMUM_VERSION = "below-minimum-version"
    BELOW_SECURITY_FLOOR = "below-security-floor"
    IN_ANOTHER_ROLLOUT = "in-another-rollout"
    NO_WAVE = "no-wave"
    OTHER_MODEL = "other-model"


@dataclass(frozen=True, slots=True)
class Member:
    """A box that a wave covers, the version it runs before, and the zone of its clock."""

    device_id: str
    version: str
    zone: str


@dataclass(frozen=True, slots=True)
class Membership:
    """What a plan covers: one tuple of members for each wave, sorted by device id."""

    salt: str
    waves: tuple[tuple[Member, ...], ...]
    left_out: dict[LeftOut, int]


@dataclass(frozen=True, slots=True)
class WavePreview:
    """One wave of a preview."""

    name: str
    boxes: int
    from_versions: dict[str, int]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rollout would do if it started now.

    *left_out* counts boxes by reason, *zones* those of the waves by the zone of their clock.
    """

    hardware_model: str
    version: str
    size_bytes: int
    salt: str
    waves: tuple[WavePreview, ...]
    left_out: dict[LeftOut, int]
    boxes: int
    zones: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Candidate:
    device_id: str
    version: str | None
    zone: str
    security_version: int | None
    claimed: bool


def membership(spec: RolloutSpec, release: Release, salts: Sequence[str]) -> Membership:
    """Return which boxes *spec* covers now; the salt is *spec*'s or the evenest of *salts*."""
    left_out: Counter[LeftOut] = Counter()
    eligible = []
    for candidate in _candidates(release.hardware_model):
        if reason := _why_not(candidate, release):
            left_out[reason] += 1
        else:
            eligible.append(Member(candidate.device_id, candidate.version or "", candidate.zone))
    listed = {device_id for wave in spec.waves for device_id in wave.device_ids or ()}
    left_out[LeftOut.OTHER_MODEL] = len(listed - _of_model(listed, release.hardware_model))
    salt = spec.salt or _evenest(spec.waves, eligible, salts)
    waves = _sorted_into(spec.waves, eligible, salt)
    left_out[LeftOut.NO_WAVE] = len(eligible) - sum(map(len, waves))
    return Membership(salt, waves, {reason: n for reason, n in left_out.items() if n})


def shown(spec: RolloutSpec, release: Release, found: Membership) -> Preview:
    """Return *found* as a person is shown it."""
    waves = tuple(
        WavePreview(wave.name, len(members), dict(Counter(m.version for m in members)))
        for wave, members in zip(spec.waves, found.waves, strict=True)
    )
    return Preview(
        release.hardware_model,
        release.version,
        release.size_bytes,
        found.salt,
        waves,
        found.left_out,
        sum(wave.boxes for wave in waves),
        dict(Counter(member.zone for members in found.waves for member in members)),
    )


def _candidates(hardware_model: str) -> Iterator[_Candidate]:
    claimed = (
        select(BoxInWave.device_id)
        .join(Rollout, Rollout.id == BoxInWave.rollout_id)
        .where(Rollout.state.in_(OPEN_ROLLOUTS), BoxInWave.device_id == Device.id)
    )
    query = (
        select(Device.id, Device.version, Device.zone, Device.security_version, claimed.exists())
        .where(Device.hardware_model == hardware_model)
        .order_by(Device.id)
    )
    for row in db.session.execute(query):
        yield _Candidate(*row)


def _why_not(box: _Candidate, release: Release) -> LeftOut | None:
    """Return why *box* may not have *release*; the first reason that holds.

    An open rollout keeps every box it started with until it ends, so of two rollouts
    the one that was started first has the box.
    """
    if box.version is None or not is_version(box.version):
        return LeftOut.NEVER_HEARD
    if version_key(box.version) == version_key(release.version):
        return LeftOut.ALREADY_THERE
    if box.claimed:
        return LeftOut.IN_ANOTHER_ROLLOUT
    if box.security_version is not None and release.security_version < box.security_version:
        return LeftOut.BELOW_SECURITY_FLOOR
    if version_key(box.version) > version_key(release.version):
        return LeftOut.RUNS_NEWER
    if release.min_version and version_key(box.version) < version_key(release.min_version):
        return LeftOut.BELOW_MINIMUM_VERSION
    return None


def _of_model(device_ids: set[str], hardware_model: str) -> set[str]:
    if not device_ids:
        return set()
    query = select(Device.id).where(Device.hardware_model == hardware_model)
    return device_ids & set(db.session.scalars(query))


def _sorted_into(
    waves: Sequence[WaveSpec], eligible: Sequence[Member], salt: str
) -> tuple[tuple[Member, ...], ...]:
    """Return the members of each wave; a box is in the first wave that covers it."""
    lists = [frozenset(wave.device_ids or ()) for wave in waves]
    parts = [share_parts(wave.share_until) for wave in waves]
    found: list[list[Member]] = [[] for _ in waves]
    for member in eligible:
        at = place(salt, member.device_id)
        for index in range(len(waves)):
            if member.device_id in lists[index] or at < parts[index]:
                found[index].append(member)
                break
    return tuple(map(tuple, found))


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
