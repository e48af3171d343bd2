"""The job that makes hours of health messages, some boxes at a time; each message counts once.

It goes by when messages were received: what came from one full hour to the next is put into
the hours in which it was read on the boxes. A message that comes late lets its hour be made
again of all its messages, so it counts once and in its own hour. How far the job is stands in
a row that changes in the same transaction as the hours, so it may end anywhere and go on.
An hour whose messages have gone already is left as it is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire.readings import field_of
from sqlalchemy import Select, and_, delete, func, or_, select, tuple_, update

from oleada_server.db import chunks, db, insert, read_only
from oleada_server.devices.models import Device
from oleada_server.diagnosis import hours, reading
from oleada_server.diagnosis.derived import Sample
from oleada_server.diagnosis.hours import Counts, Kept, hour_of
from oleada_server.diagnosis.models import HealthFold, HealthHour, ModelHour, ModelReading
from oleada_server.telemetry.models import HealthSample

SETTLE: Final = timedelta(minutes=5)
"""A message that was received before this has been committed."""
WINDOW_MAX: Final = timedelta(hours=6)
"""After an outage so much is put away at once."""
BACK: Final = timedelta(days=1)
"""So far back the first run of all begins."""
BOXES: Final = 100
TURNS: Final = 40
"""Groups of :data:`BOXES` boxes in one tick."""
KEEP: Final = timedelta(days=90)
KEEP_OF_MODELS: Final = timedelta(days=400)
PRUNE_ROWS: Final = 5_000
READINGS_MAX: Final = 300
"""Of one model; a box that invents names fills no table."""

PATH_CHARS_MAX: Final = 160

_IN_PLACE: Final[dict[str, Any]] = {"execution_options": {"synchronize_session": False}}
_Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class _Made:
    """One hour of one box of *model*, the readings it *told*, and what was kept of it before."""

    key: _Key
    model: str
    samples: int
    readings: Kept
    told: frozenset[str]
    before: Kept | None


def tick(now: datetime) -> int:
    """Make the hours that are due, of at most 4,000 boxes; return of how many; commits."""
    done = 0
    for _ in range(TURNS):
        turned = _turn(now)
        if turned is None:
            break
        done += turned
    return done


def _turn(now: datetime) -> int | None:
    """Put away what the next boxes have sent; return how many they are, None if nothing is due."""
    read_only()
    fold = db.session.get(HealthFold, 1)
    due = hour_of(now - SETTLE)
    if fold is None or (fold.since == fold.until and fold.until < due):
        _next_window(fold, due)
        return 0
    if fold.since == fold.until:
        db.session.rollback()
        return None
    query = select(Device.id, Device.hardware_model).where(Device.id > fold.device_id)
    boxes: dict[str, str] = {
        row[0]: row[1] for row in db.session.execute(query.order_by(Device.id).limit(BOXES))
    }
    made = _made(boxes, fold.since, fold.until, now) if boxes else []
    where = (fold.since, fold.until, fold.device_id)
    db.session.rollback()  # reading is long, writing is short
    if not _move(where, next(reversed(boxes), None)):
        return None
    _write(made)
    db.session.commit()
    if not boxes:
        _prune(now)
    return len(boxes)


def _next_window(fold: HealthFold | None, due: datetime) -> None:
    since = due - BACK if fold is None else fold.until
    db.session.rollback()
    row = {"id": 1, "since": since, "until": min(due, since + WINDOW_MAX), "device_id": ""}
    adding = insert(HealthFold).values(row)
    db.session.execute(adding.on_conflict_do_update(index_elements=["id"], set_=row))
    db.session.commit()


def _move(where: tuple[datetime, datetime, str], last: str | None) -> bool:
    """Move on to the box *last*, or end the window; return False if somebody else has."""
    since, until, device_id = where
    here = (HealthFold.since == since, HealthFold.until == until)
    change = update(HealthFold).where(*here, HealthFold.device_id == device_id)
    values = {"since": until, "device_id": ""} if last is None else {"device_id": last}
    moved: Any = db.session.execute(change.values(values))
    if not moved.rowcount:
        db.session.rollback()
    return bool(moved.rowcount)


def _made(boxes: Mapping[str, str], since: datetime, until: datetime, now: datetime) -> list[_Made]:
    """Return the hours of *boxes* into which something came from *since* to *until*."""
    came = _grouped(_samples(boxes).where(*_received(since, until)))
    oldest = hour_of(now - KEEP)
    late = {key for key in came if key[1] < since}
    groups = {key: samples for key, samples in came.items() if key not in late}
    groups |= _again({key for key in late if key[1] >= oldest}, until)
    before = _before(groups)
    library = reading.library()
    names = hours.kept(library)
    found = []
    for key, samples in groups.items():
        there = before.get(key)
        if there is None or len(samples) >= there.samples:
            readings = hours.fold(samples, names)
            kept = None if there is None else dict(there.readings)
            told = frozenset(samples[-1].parameters) | readings.keys()
            found.append(_Made(key, boxes[key[0]], len(samples), readings, told, kept))
    return found


def _samples(boxes: Iterable[str]) -> Select[Any]:
    columns = (HealthSample.device_id, HealthSample.box_at, HealthSample.boot)
    query = select(*columns, HealthSample.parameters).where(HealthSample.device_id.in_(list(boxes)))
    return query.order_by(HealthSample.device_id, HealthSample.box_at, HealthSample.id)


def _received(since: datetime, until: datetime) -> tuple[Any, Any]:
    return HealthSample.received_at >= since, HealthSample.received_at < until


def _again(late: set[_Key], until: datetime) -> dict[_Key, list[Sample]]:
    """Return all messages of the hours *late*, whenever they came."""
    found: dict[_Key, list[Sample]] = {}
    for keys in chunks(sorted(late), 50):
        first = min(at for _, at in keys)
        one_of = or_(
            *(
                and_(
                    HealthSample.device_id == device_id,
                    HealthSample.box_at >= at,
                    HealthSample.box_at < at + timedelta(hours=1),
                )
                for device_id, at in keys
            )
        )
        query = _samples({device_id for device_id, _ in keys})
        found |= _grouped(query.where(*_received(first, until), one_of))
    return found


def _grouped(query: Select[Any]) -> dict[_Key, list[Sample]]:
    found: dict[_Key, list[Sample]] = {}
    for device_id, at, boot, parameters in db.session.execute(query):
        found.setdefault((device_id, hour_of(at)), []).append(Sample(at, boot, parameters))
    return found


def _before(groups: Mapping[_Key, object]) -> dict[_Key, HealthHour]:
    if not groups:
        return {}
    query = select(HealthHour).where(
        HealthHour.device_id.in_({device_id for device_id, _ in groups}),
        HealthHour.at >= min(at for _, at in groups),
    )
    return {(one.device_id, one.at): one for one in db.session.scalars(query)}


def _write(made: Sequence[_Made]) -> None:
    rows = [
        {"device_id": one.key[0], "at": one.key[1], "samples": one.samples,
         "readings": one.readings}
        for one in made
    ]  # fmt: skip
    for chunk in chunks(rows):
        adding = insert(HealthHour).values(chunk)
        news = {"samples": adding.excluded.samples, "readings": adding.excluded.readings}
        keys = ["device_id", "at"]
        db.session.execute(adding.on_conflict_do_update(index_elements=keys, set_=news))
    _count(made)
    _note_readings(made)


def _count(made: Sequence[_Made]) -> None:
    """Add what boxes showed to the hours of their models; what is made again counts once."""
    library = reading.library()
    news: dict[_Key, Counts] = {}
    boxes: dict[_Key, int] = {}
    for one in made:
        key = (one.model, one.key[1])
        counts = news.setdefault(key, {})
        hours.add(counts, hours.judged(library, one.readings))
        if one.before is not None:
            hours.add(counts, hours.judged(library, one.before), -1)
        boxes[key] = boxes.get(key, 0) + (one.before is None)
    for (model, at), counts in sorted(news.items()):
        there = db.session.get(ModelHour, (model, at))
        if there is None:
            there = ModelHour(hardware_model=model, at=at, boxes=0, counts={})
            db.session.add(there)
        there.boxes += boxes[model, at]
        there.counts = _sum(there.counts, counts)


def _sum(before: Mapping[str, Any], news: Counts) -> dict[str, Any]:
    found = {name: list(pair) for name, pair in before.items()}
    for name, (reports, shows) in news.items():
        there = found.get(name, [0, 0])
        found[name] = [max(there[0] + reports, 0), max(there[1] + shows, 0)]
    return found


def _note_readings(made: Sequence[_Made]) -> None:
    """Note what boxes of each model report, so that the rest is known not to be."""
    told: dict[str, dict[str, datetime]] = {}
    for one in made:
        for path in one.told:
            if len(path) <= PATH_CHARS_MAX and field_of(path) is not None:
                told.setdefault(one.model, {}).setdefault(path, one.key[1])
    for model, paths in told.items():
        known = reported_by(model)
        room = max(READINGS_MAX - len(known), 0)
        rows = [
            {"hardware_model": model, "path": path, "at": at}
            for path, at in sorted(paths.items())
            if path not in known
        ][:room]
        for chunk in chunks(rows):
            db.session.execute(insert(ModelReading).values(chunk).on_conflict_do_nothing())


def reported_by(hardware_model: str) -> frozenset[str]:
    """Return the readings that boxes of a model have ever reported; none before the first hour."""
    query = select(ModelReading.path).where(ModelReading.hardware_model == hardware_model)
    return frozenset(db.session.scalars(query))


def hours_of(device_id: str, since: datetime) -> list[HealthHour]:
    """Return the hours of a box that began at or after *since*, oldest first."""
    query = select(HealthHour).where(HealthHour.device_id == device_id, HealthHour.at >= since)
    return list(db.session.scalars(query.order_by(HealthHour.at)))


def done_until() -> datetime | None:
    """Return until when hours are made; None before the first ones."""
    return db.session.scalar(select(func.max(HealthFold.since)))


def _prune(now: datetime) -> None:
    """Delete hours that are too old, some thousand in a transaction; commits."""
    key = tuple_(HealthHour.device_id, HealthHour.at)
    old = select(HealthHour.device_id, HealthHour.at).where(HealthHour.at < now - KEEP)
    some = old.order_by(HealthHour.at).limit(PRUNE_ROWS)
    while True:
        gone: Any = db.session.execute(delete(HealthHour).where(key.in_(some)), **_IN_PLACE)
        db.session.commit()
        if gone.rowcount < PRUNE_ROWS:
            break
    db.session.execute(delete(ModelHour).where(ModelHour.at < now - KEEP_OF_MODELS))
    db.session.commit()
