"""What a person is shown of a plan before it starts, and the boxes that it may choose from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from oleada_wire.version import version_key
from sqlalchemy import Subquery, func, null, select

from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.releases.models import Release, ReleaseState
from oleada_server.rollouts import groups
from oleada_server.rollouts.cover import BoxKind
from oleada_server.rollouts.eligible import Candidate, LeftOut, Needs
from oleada_server.rollouts.models import BoxInWave, Rollout
from oleada_server.rollouts.spec import WaveSpec
from oleada_server.rollouts.states import OPEN_ROLLOUTS

__all__ = ["LeftOut", "Preview", "WavePreview"]

READ_AT_ONCE: Final = 5000


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
    claimed = claims(device_id)
    query = (
        select(
            Device.id, Device.version, Device.zone, Device.region, Device.provides,
            Device.security_version, null() if claimed is None else claimed.c.rollout_id,
            Device.revoked_at,
        )
        .where(Device.hardware_model == hardware_model)
        .order_by(Device.id)
    )  # fmt: skip
    if claimed is not None:
        query = query.outerjoin(claimed, claimed.c.device_id == Device.id)
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


def claims(
    device_id: str | None = None, *, after: str = "", upto: str | None = None
) -> Subquery | None:
    """Select the open rollout that has each box that one has; None while none is open.

    Joined once, and not asked for each box: who starts a rollout writes boxes while others
    are read, and a planner that takes the table for empty would walk all of them each time.
    Of one box, or of those behind *after*, up to *upto*, where these are given.
    """
    is_open = select(Rollout.id).where(Rollout.state.in_(OPEN_ROLLOUTS))
    found = db.session.scalars(is_open).all()
    if not found:
        return None
    query = select(BoxInWave.device_id, func.min(BoxInWave.rollout_id).label("rollout_id"))
    if device_id is not None:
        query = query.where(BoxInWave.device_id == device_id)
    if after:
        query = query.where(BoxInWave.device_id > after)
    if upto is not None:
        query = query.where(BoxInWave.device_id <= upto)
    mine = query.where(BoxInWave.rollout_id.in_(found)).group_by(BoxInWave.device_id)
    return mine.subquery()
