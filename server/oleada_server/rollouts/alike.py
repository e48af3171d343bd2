"""Boxes that are alike, counted by the database: what decides is asked once for all of them.

A box is told from others by what it says of itself, by the open rollout that has it, and by
its marks: how it stands to the shares, lists and draws of a plan. That is its key, a line of
JSON that the database writes; the decision about a key is made here, purely. So a million
boxes are a few hundred questions, and none of them leaves the database.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from oleada_wire.cohort import SHARE_PARTS
from sqlalchemy import ColumnElement, Select, Text, case, cast, func, literal, null, select

from oleada_server import digests
from oleada_server.db import db, listed
from oleada_server.devices.models import Device
from oleada_server.rollouts import groups
from oleada_server.rollouts.choosing import Marks, draw_prefix, place_prefix, share_parts
from oleada_server.rollouts.cover import BoxKind
from oleada_server.rollouts.eligible import Candidate
from oleada_server.rollouts.preview import claims
from oleada_server.rollouts.spec import WaveSpec

PLACE_BYTES: Final = 8
"""So much of its digest says the place of a box (``oleada_wire.cohort.place``)."""


@dataclass(frozen=True, slots=True)
class Range:
    """Boxes by id: those behind *after*, up to *upto*; None for all that are left.

    Of them *only* these, if any are named.
    """

    after: str = ""
    upto: str | None = None
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alike:
    """So many *boxes* that nothing tells apart; *candidate* has no id."""

    key: str
    candidate: Candidate
    marks: Marks
    boxes: int


@dataclass(frozen=True, slots=True)
class Questions:
    """What a plan asks about the boxes of one model.

    Attributes:
        named: The groups that its waves choose by.
        draws: By the place of a wave, from 0, the last digest that is drawn; None where all are.
    """

    model: str
    salt: str
    waves: Sequence[WaveSpec]
    named: groups.Named
    draws: Mapping[int, bytes | None] = field(default_factory=dict)

    @property
    def bounds(self) -> list[int]:
        """The shares of the waves that have one, rising; each in ten-thousandths, once."""
        return sorted({share_parts(wave.share_until) for wave in self.waves} - {0})

    @property
    def marked(self) -> list[int]:
        """The places of waves that a box is marked for by its id: lists, and draws so far."""
        return [at for at, wave in enumerate(self.waves) if wave.device_ids or at in self.draws]


def counted(asked: Questions, within: Range = Range()) -> Iterator[Alike]:
    """Yield the boxes of a model in groups that are alike, in no order."""
    each = boxes(asked, within).subquery()
    query = select(each.c.key, func.count()).group_by(each.c.key)
    for key, found in db.session.execute(query):
        yield read(key, asked, found)


def boxes(asked: Questions, within: Range = Range()) -> Select[str, str | None, str]:
    """Select (id, version, key) of every box of the model that is *within*."""
    claimed = claims(after=within.after, upto=within.upto)
    by = null() if claimed is None else claimed.c.rollout_id
    query = select(Device.id, Device.version, _key(asked, by).label("key"))
    query = query.where(Device.hardware_model == asked.model)
    if within.after:
        query = query.where(Device.id > within.after)
    if within.upto is not None:
        query = query.where(Device.id <= within.upto)
    if within.only:
        query = query.where(Device.id.in_(listed(within.only)))
    if claimed is not None:
        query = query.outerjoin(claimed, claimed.c.device_id == Device.id)
    return query


def drawn(asked: Questions, keys: Sequence[str], number: int) -> bytes | None:
    """Return the last digest of *number* boxes that are drawn of those with *keys*.

    None where there are no more than so many.
    """
    each = boxes(asked).subquery()
    digest = digests.of(draw_prefix(asked.salt), each.c.id)
    query = select(digest).where(each.c.key.in_(listed(keys))).order_by(digest)
    found = db.session.scalars(query.offset(number - 1).limit(1)).one_or_none()
    return None if found is None else bytes(found)


def upto(model: str, after: str, number: int) -> str | None:
    """Return the id of the box of *model* that is *number* places behind *after*; None if none."""
    query = select(Device.id).where(Device.hardware_model == model, Device.id > after)
    return db.session.scalar(query.order_by(Device.id).offset(number - 1).limit(1))


def read(key: str, asked: Questions, boxes: int) -> Alike:
    """Return what *key* says of so many *boxes*."""
    told: list[Any] = json.loads(key)
    version, zone, region, provides, security_version, claimed_by, is_revoked, band = told[:8]
    lists, marks = told[8 : 8 + len(asked.named.lists)], told[8 + len(asked.named.lists) :]
    kind = BoxKind(region=region, version=version, zone=zone, provides=frozenset(provides or ()))
    kind = asked.named.added(
        kind, {name for name, is_in in zip(asked.named.lists, lists, strict=True) if is_in}
    )
    return Alike(
        key,
        Candidate("", kind, security_version, claimed_by, bool(is_revoked)),
        Marks(
            asked.bounds[band] if band < len(asked.bounds) else SHARE_PARTS + 1,
            frozenset(at for at, is_in in zip(asked.marked, marks, strict=True) if is_in),
        ),
        boxes,
    )


def _key(asked: Questions, claimed_by: ColumnElement[Any]) -> ColumnElement[str]:
    is_postgresql = db.session.get_bind().dialect.name == "postgresql"
    provides: Any = Device.provides if is_postgresql else func.json(Device.provides)
    made = func.json_build_array if is_postgresql else func.json_array
    parts = [
        Device.version,
        Device.zone,
        Device.region,
        provides,
        Device.security_version,
        claimed_by,
        _flag(Device.revoked_at.is_not(None)),
        _band(asked),
        *(_flag(groups.holds(name)) for name in asked.named.lists),
        *(_flag(_mark(asked, at)) for at in asked.marked),
    ]
    return cast(made(*parts), Text)


def _flag(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _band(asked: Questions) -> ColumnElement[int]:
    bounds = [_first_behind(parts) for parts in asked.bounds if parts < SHARE_PARTS]
    return digests.band(digests.of(place_prefix(asked.salt), Device.id), bounds)


def _first_behind(parts: int) -> bytes:
    """Return the first digest whose place is no less than *parts*: 0 to 9 999."""
    return (-(-(parts << 8 * PLACE_BYTES) // SHARE_PARTS)).to_bytes(PLACE_BYTES, "big")


def _mark(asked: Questions, at: int) -> ColumnElement[bool]:
    wave = asked.waves[at]
    if wave.device_ids:
        return Device.id.in_(listed(wave.device_ids))
    last = asked.draws[at]
    if last is None:
        return literal(True)
    return digests.of(draw_prefix(asked.salt), Device.id) <= last
