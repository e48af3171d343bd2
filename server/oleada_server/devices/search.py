"""Finding devices: filters, exact totals, and pages that never count rows to skip.

A page key holds the place of the last row (value of the sort, device id), so that page
1 000 costs what page 1 costs and nothing is shown twice while boxes come and go.
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from oleada_wire.ids import normalise_device_id
from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from oleada_server.db import db
from oleada_server.devices.errors import BadPageKeyError
from oleada_server.devices.models import Device, HardwareModel
from oleada_server.rollouts.models import BoxInWave

PAGE_SIZE: Final = 50
PAGE_SIZE_MAX: Final = 500
NO_REASON: Final = "unknown"
"""As a *box_reason*: boxes that gave none."""
_BEFORE_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Contact(StrEnum):
    """When a box was last heard."""

    SEEN = "seen"
    SILENT = "silent"
    NEVER = "never"


class Sort(StrEnum):
    """The order of the list; a minus turns it round."""

    ID = "id"
    SEEN = "seen"
    SEEN_LAST = "-seen"
    VERSION = "version"
    VERSION_LAST = "-version"


@dataclass(frozen=True, slots=True)
class Filters:
    """What to list; empty means all.

    Attributes:
        text: Part of a device id, serial or MAC as a person types it: O for 0, I for 1,
            blanks and dashes do not matter. The last four characters are enough.
        contact: Heard within ``silent_after_s``, not within it, or never.
        rollout_id: Only boxes in this rollout; *wave_id* and *box_states* narrow it, and
            *box_reason*, for which they ended there.
    """

    models: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    contact: Contact | None = None
    text: str = ""
    region: str | None = None
    rollout_id: int | None = None
    wave_id: int | None = None
    box_states: tuple[str, ...] = ()
    box_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page: *total* counts every match; *next_key* is None on the last page."""

    devices: list[Device]
    total: int
    next_key: str | None


def list_devices(
    filters: Filters,
    *,
    now: datetime,
    silent_after_s: int,
    after: str | None = None,
    limit: int = PAGE_SIZE,
    sort: Sort = Sort.ID,
) -> Page:
    """Return the page of devices that match *filters* after page key *after*.

    Raises:
        BadPageKeyError: *after* was not made by this function.
    """
    limit = max(1, min(limit, PAGE_SIZE_MAX))
    matching = _matching(filters, now - timedelta(seconds=silent_after_s))
    total = db.session.scalar(select(func.count()).select_from(matching.subquery())) or 0
    value = _sort_value(sort)
    backwards = sort.startswith("-")
    query = select(Device).where(Device.id.in_(matching))
    if after is not None:
        query = query.where(_beyond(value, backwards, *_read_key(after, sort)))
    order = (value.desc(), Device.id.desc()) if backwards else (value, Device.id)
    rows = list(db.session.scalars(query.order_by(*order).limit(limit + 1)))
    more = len(rows) > limit
    return Page(rows[:limit], total, _write_key(rows[limit - 1], sort) if more else None)


def model_counts() -> dict[str, int]:
    """Return how many boxes each hardware model has; a model without boxes has 0."""
    counts = select(Device.hardware_model, func.count()).group_by(Device.hardware_model)
    boxes = {row[0]: row[1] for row in db.session.execute(counts)}  # an index answers this
    names = db.session.scalars(select(HardwareModel.name).order_by(HardwareModel.name))
    return {name: boxes.get(name, 0) for name in names}


def version_counts(model: str | None = None) -> dict[str, int]:
    """Return how many boxes run each version, of *model* or of all."""
    query = select(Device.version, func.count()).where(Device.version.is_not(None))
    if model is not None:
        query = query.where(Device.hardware_model == model)
    rows = db.session.execute(query.group_by(Device.version).order_by(Device.version))
    return {str(version): count for version, count in rows}


def _matching(filters: Filters, silent_before: datetime) -> Select[str]:
    query = select(Device.id)
    if filters.models:
        query = query.where(Device.hardware_model.in_(filters.models))
    if filters.versions:
        query = query.where(Device.version.in_(filters.versions))
    if filters.region is not None:
        query = query.where(Device.region == filters.region)
    if filters.contact is not None:
        query = query.where(_contact(filters.contact, silent_before))
    if filters.text.strip():
        query = query.where(_text(filters.text))
    if in_rollout := _in_rollout(filters):
        query = query.where(Device.id.in_(select(BoxInWave.device_id).where(*in_rollout)))
    return query


def _contact(contact: Contact, silent_before: datetime) -> ColumnElement[bool]:
    match contact:
        case Contact.SEEN:
            return Device.last_seen_at >= silent_before
        case Contact.SILENT:
            return Device.last_seen_at < silent_before
        case Contact.NEVER:
            return Device.last_seen_at.is_(None)


def _text(text: str) -> ColumnElement[bool]:
    wanted = normalise_device_id(text.strip())
    serial = func.upper(Device.serial)
    for typed, meant in (("O", "0"), ("I", "1"), ("L", "1"), ("-", ""), (" ", "")):
        serial = func.replace(serial, typed, meant)
    found = [
        Device.id.contains(wanted, autoescape=True),
        serial.contains(wanted, autoescape=True),
    ]
    digits = "".join(c for c in text.upper() if c in "0123456789ABCDEF")
    if digits and not set(text.upper()) - set("0123456789ABCDEF:.- "):
        found.append(func.replace(Device.mac, ":", "").contains(digits))
    return or_(*found)


def _in_rollout(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.rollout_id is not None:
        found.append(BoxInWave.rollout_id == filters.rollout_id)
    if filters.wave_id is not None:
        found.append(BoxInWave.wave_id == filters.wave_id)
    if filters.box_states:
        found.append(BoxInWave.state.in_(filters.box_states))
    if filters.box_reason == NO_REASON:
        found.append(BoxInWave.reason.is_(None))
    elif filters.box_reason is not None:
        found.append(BoxInWave.reason == filters.box_reason)
    return found


def _sort_value(sort: Sort) -> ColumnElement[Any]:
    match sort:
        case Sort.ID:
            return Device.id.expression
        case Sort.SEEN | Sort.SEEN_LAST:
            return func.coalesce(Device.last_seen_at, _BEFORE_TIME, type_=Device.last_seen_at.type)
        case Sort.VERSION | Sort.VERSION_LAST:
            return func.coalesce(Device.version, "")


def _beyond(
    value: ColumnElement[Any], backwards: bool, last: Any, last_id: str
) -> ColumnElement[bool]:
    if backwards:
        return or_(value < last, and_(value == last, Device.id < last_id))
    return or_(value > last, and_(value == last, Device.id > last_id))


def _write_key(device: Device, sort: Sort) -> str:
    match sort:
        case Sort.ID:
            last = device.id
        case Sort.SEEN | Sort.SEEN_LAST:
            last = (device.last_seen_at or _BEFORE_TIME).isoformat()
        case Sort.VERSION | Sort.VERSION_LAST:
            last = device.version or ""
    spelt = json.dumps([str(sort), last, device.id]).encode()
    return base64.urlsafe_b64encode(spelt).decode().rstrip("=")


def _read_key(key: str, sort: Sort) -> tuple[Any, str]:
    try:
        spelt = base64.urlsafe_b64decode(key + "=" * (-len(key) % 4))
        made_for, last, device_id = json.loads(spelt)
        if made_for != sort or "\x00" in f"{last}{device_id}":
            raise BadPageKeyError
        last.encode(), device_id.encode()  # half a surrogate pair is not from a row of ours
        if sort in {Sort.SEEN, Sort.SEEN_LAST}:
            return _aware(last), device_id
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise BadPageKeyError from error
    return last, device_id


def _aware(text: str) -> datetime:
    """Return the time in *text* in UTC; ValueError or OverflowError if we never wrote it."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time of a page key has a zone")
    return found.astimezone(UTC)
