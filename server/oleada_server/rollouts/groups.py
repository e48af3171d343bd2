"""Groups of boxes that people name once and choose by often.

A group has its boxes listed, or a rule that is true of them: then a box joins and leaves
by what it says of itself. Every change is audited. Each deed commits.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from oleada_wire.ids import is_device_id
from sqlalchemy import ColumnElement, delete, func, select

from oleada_server.audit import service as audit
from oleada_server.db import chunks, db, insert
from oleada_server.devices.models import Device, DeviceGroup, DeviceGroupMember
from oleada_server.rollouts.cover import BoxKind, Where, matches, where_from, where_json
from oleada_server.rollouts.errors import (
    BadPlanError,
    GroupInUseError,
    GroupThereError,
    NoSuchGroupError,
)
from oleada_server.rollouts.models import BoxInWave, Rollout, Wave
from oleada_server.rollouts.states import BoxState, RolloutState

NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
KEPT: Final = re.compile(r"kept:R-(?P<rollout>[1-9][0-9]{0,8}):(?P<version>[0-9][0-9.]{0,39})")
NOTE_CHARS_MAX: Final = 200
BOXES_MAX: Final = 10_000
GROUPS_MAX: Final = 1000
FINAL: Final = (RolloutState.FINISHED, RolloutState.HALTED, RolloutState.STOPPED)


@dataclass(frozen=True, slots=True)
class Group:
    """A group as people see it; *boxes* counts those that are listed, None of one by rule."""

    name: str
    note: str
    rule: Where | None
    boxes: int | None
    created_at: datetime
    created_by: str


def list_groups() -> list[Group]:
    """Return every group by name."""
    query = (
        select(DeviceGroup, func.count(DeviceGroupMember.device_id))
        .outerjoin(DeviceGroupMember, DeviceGroupMember.group_name == DeviceGroup.name)
        .group_by(DeviceGroup.name)
        .order_by(DeviceGroup.name)
    )
    return [_shown(row, boxes) for row, boxes in db.session.execute(query)]


def get(name: str) -> Group:
    """Return one group.

    Raises:
        NoSuchGroupError: There is none of that name.
    """
    row = _row(name)
    query = select(func.count()).where(DeviceGroupMember.group_name == name)
    return _shown(row, db.session.scalar(query) or 0)


def members(name: str, *, after: str = "", limit: int = 500) -> Sequence[str]:
    """Return the listed boxes of a group by id, from the one behind *after* on."""
    query = select(DeviceGroupMember.device_id).where(
        DeviceGroupMember.group_name == name, DeviceGroupMember.device_id > after
    )
    return db.session.scalars(query.order_by(DeviceGroupMember.device_id).limit(limit)).all()


def boxes_in(group: Group) -> int:
    """Return how many boxes are in *group* now: listed, or of those that its rule is true of."""
    if group.rule is None:
        return group.boxes or 0
    kinds = (Device.region, Device.version, Device.zone, Device.provides)
    query = select(*kinds, func.count()).where(Device.revoked_at.is_(None)).group_by(*kinds)
    return sum(
        boxes
        for region, version, zone, provides, boxes in db.session.execute(query)
        if matches(
            group.rule,
            BoxKind(region=region, version=version, zone=zone, provides=frozenset(provides or ())),
        )
    )


def used_by(name: str) -> list[int]:
    """Return the rollouts that have not ended and choose by the group, oldest first."""
    query = (
        select(Wave.rollout_id, Wave.box_filter)
        .join(Rollout, Rollout.id == Wave.rollout_id)
        .where(Rollout.state.not_in(FINAL), Wave.box_filter.is_not(None))
        .order_by(Wave.rollout_id)
    )
    found = db.session.execute(query)
    return sorted({row[0] for row in found if name in (row[1] or {}).get("group", ())})


def create(name: str, *, note: str, rule: Where | None, actor: str, now: datetime) -> None:
    """Make a group, empty or by *rule*.

    Raises:
        BadPlanError: The name, the note or the rule is not what was expected.
        GroupThereError: There is one of that name.
    """
    if not NAME.fullmatch(name):
        raise BadPlanError(
            "A group's name has 1 to 40 small letters, digits and dashes, such as test-homes.",
            "name",
        )
    if len(note) > NOTE_CHARS_MAX or not (note.isprintable() or not note):
        raise BadPlanError(f"A note has at most {NOTE_CHARS_MAX} printable characters.", "note")
    if rule is not None and rule.group:
        raise BadPlanError("The rule of a group can not name groups.", "rule")
    if db.session.get(DeviceGroup, name) is not None:
        raise GroupThereError(name)
    if (db.session.scalar(select(func.count()).select_from(DeviceGroup)) or 0) >= GROUPS_MAX:
        raise BadPlanError(f"There are {GROUPS_MAX} groups; remove one first.", "name")
    found = None if rule is None else where_json(rule)
    db.session.add(DeviceGroup(name=name, note=note, rule=found, created_at=now, created_by=actor))
    audit.record(actor, "group.create", f"group:{name}", now=now, after={"rule": found})
    db.session.commit()


def change(
    name: str, *, add: Sequence[str], remove: Sequence[str], actor: str, now: datetime
) -> Group:
    """Put boxes into a group that lists its boxes, and take others out; return it.

    Raises:
        NoSuchGroupError: There is none of that name.
        BadPlanError: It goes by a rule, a box is not known, or there would be too many.
    """
    group = _row(name)
    if group.rule is not None:
        raise BadPlanError(f"The boxes of group {name} follow its rule.", "add")
    _demand_known(add)
    for chunk in chunks(sorted(set(remove))):
        db.session.execute(
            delete(DeviceGroupMember).where(
                DeviceGroupMember.group_name == name, DeviceGroupMember.device_id.in_(chunk)
            )
        )
    rows = [{"group_name": name, "device_id": device_id} for device_id in sorted(set(add))]
    for part in chunks(rows):
        db.session.execute(insert(DeviceGroupMember).values(list(part)).on_conflict_do_nothing())
    found = get(name)
    if (found.boxes or 0) > BOXES_MAX:
        db.session.rollback()
        raise BadPlanError(f"A group lists at most {BOXES_MAX} boxes; use a rule.", "add")
    after = {"added": len(set(add)), "removed": len(set(remove)), "boxes": found.boxes}
    audit.record(actor, "group.change", f"group:{name}", now=now, after=after)
    db.session.commit()
    return get(name)


def remove(name: str, *, actor: str, now: datetime) -> None:
    """Remove a group that no rollout on its way chooses by.

    Raises:
        NoSuchGroupError: There is none of that name.
        GroupInUseError: A rollout that has not ended names it.
    """
    group = _row(name)
    if users := used_by(name):
        raise GroupInUseError(name, users[0])
    db.session.execute(delete(DeviceGroupMember).where(DeviceGroupMember.group_name == name))
    db.session.delete(group)
    audit.record(actor, "group.remove", f"group:{name}", now=now)
    db.session.commit()


@dataclass(frozen=True, slots=True)
class Named:
    """Groups that a plan names: those by rule, and the names of those that list their boxes."""

    rules: Mapping[str, Where] = field(default_factory=dict)
    lists: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> "Named":
        """Return the groups of these names.

        Raises:
            NoSuchGroupError: One of them is not there.
            BadPlanError: The rule of one can not be read.
        """
        found = {name: None if _kept(name) else _row(name).rule for name in sorted(set(names))}
        rules = {name: where_from(rule) for name, rule in found.items() if rule is not None}
        return cls(rules, tuple(name for name in found if name not in rules))

    def added(self, kind: BoxKind, listed: Iterable[str]) -> BoxKind:
        """Return *kind* with its groups, of which *listed* list it."""
        by_rule = {name for name, rule in self.rules.items() if matches(rule, kind)}
        return replace(kind, groups=frozenset(by_rule | set(listed)))


def reader(named: Iterable[str], device_id: str | None = None) -> Callable[[str, BoxKind], BoxKind]:
    """Return what adds to a box's kind those of *named* groups that it is in.

    With *device_id* only that box will be asked about.

    Raises:
        NoSuchGroupError: One of *named* is not there.
        BadPlanError: The rule of one can not be read.
    """
    known = Named.of(named)
    listed: dict[str, frozenset[str]] = {}
    for name in known.lists:
        query = select(Device.id).where(holds(name))
        if device_id is not None:
            query = query.where(Device.id == device_id)
        listed[name] = frozenset(db.session.scalars(query))

    def with_groups(device_id: str, kind: BoxKind) -> BoxKind:
        return known.added(kind, {name for name, ids in listed.items() if device_id in ids})

    return with_groups


def kept(rollout_id: int, version: str) -> str:
    """Return the name of a group that nobody has to make, and no one can change.

    In it are the boxes that have kept the release of a rollout and ran *version* before.
    """
    return f"kept:R-{rollout_id}:{version}"


def holds(name: str) -> ColumnElement[bool]:
    """Return in SQL whether the group *name*, which lists its boxes, has a device."""
    found = _kept(name)
    if found is None:
        listed = select(DeviceGroupMember.device_id).where(
            DeviceGroupMember.group_name == name, DeviceGroupMember.device_id == Device.id
        )
        return listed.correlate(Device).exists()
    by_rollout = select(BoxInWave.id).where(
        BoxInWave.rollout_id == int(found["rollout"]),
        BoxInWave.device_id == Device.id,
        BoxInWave.state == BoxState.UPDATED,
        BoxInWave.version_before == found["version"],
    )
    return by_rollout.correlate(Device).exists()


def _kept(name: str) -> re.Match[str] | None:
    return KEPT.fullmatch(name)


def _row(name: str) -> DeviceGroup:
    found = db.session.get(DeviceGroup, name)
    if found is None:
        raise NoSuchGroupError(name)
    return found


def _shown(row: DeviceGroup, boxes: int) -> Group:
    rule = None if row.rule is None else where_from(row.rule)
    return Group(
        row.name, row.note, rule, boxes if rule is None else None, row.created_at, row.created_by
    )


def _demand_known(device_ids: Sequence[str]) -> None:
    if bad := next((one for one in device_ids if not is_device_id(one)), None):
        raise BadPlanError(f"{bad[:40]!r} is not a device id.", "add")
    there: set[str] = set()
    for chunk in chunks(sorted(set(device_ids))):
        there.update(db.session.scalars(select(Device.id).where(Device.id.in_(chunk))))
    if unknown := sorted(set(device_ids) - there):
        raise BadPlanError(f"There is no box {unknown[0]}.", "add")
