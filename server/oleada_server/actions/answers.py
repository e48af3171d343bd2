"""What boxes answer to actions: kept part by part, each once, bounded, and put together again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from oleada_wire import actions as wire
from oleada_wire.messages import Progress, Result
from sqlalchemy import delete, select, update

from oleada_server.actions.models import ActionFile, ActionOrder, ActionPart
from oleada_server.clock import box_time
from oleada_server.db import db, insert
from oleada_server.live import service as live

RESULT_NUMBER: Final = wire.PROGRESS_MAX + 1
"""The part that the result is: after all progress."""
ERROR_CHARS_MAX: Final = 40
PRUNE_ROWS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything a box has told of one action so far.

    *values* and *output* are of all parts in their order; *files* are those that lie here,
    with whether they are what the result says.
    """

    values: dict[str, Any]
    output: str
    files: tuple[tuple[ActionFile, bool | None], ...]


def record_progress(device_id: str, progress: Progress, now: datetime) -> None:
    """Keep what an action has found so far, in the caller's transaction.

    What nobody has ordered of this box, and what came before, changes nothing.
    """
    if not 1 <= progress.number <= wire.PROGRESS_MAX:
        return
    if _order_of(device_id, progress.cmd_id) is None:
        return
    _keep(progress.cmd_id, progress.number, progress.output, progress.values, now)
    told = update(ActionOrder).where(
        ActionOrder.id == progress.cmd_id, ActionOrder.status.is_(None)
    )
    db.session.execute(told.where(ActionOrder.heard_at.is_(None)).values(heard_at=now), **_IN_PLACE)
    if (done := progress.done_parts) is not None:
        is_more = ActionOrder.done_parts.is_(None) | (ActionOrder.done_parts < done)
        db.session.execute(
            told.where(is_more).values(done_parts=min(max(done, 0), 10_000)), **_IN_PLACE
        )
    live.touch(f"device:{device_id}", now)


def record_result(device_id: str, result: Result, now: datetime) -> None:
    """Keep how an action ended, in the caller's transaction; only the first result counts."""
    found = _order_of(device_id, result.cmd_id)
    if found is None or found.status is not None:
        return
    _keep(result.cmd_id, RESULT_NUMBER, result.output, result.values or {}, now)
    db.session.execute(
        update(ActionOrder)
        .where(ActionOrder.id == result.cmd_id, ActionOrder.status.is_(None))
        .values(
            status=str(result.status),
            error=(result.error or "")[:ERROR_CHARS_MAX] or None,
            heard_at=found.heard_at or now,
            began_at=None if result.began_ms is None else box_time(result.began_ms, now),
            ended_at=now,
            is_truncated=found.is_truncated or bool(result.is_truncated),
            told_files={one.name: one.sha256 for one in (result.files or ())[: wire.FILES_MAX]},
        ),
        **_IN_PLACE,
    )
    live.touch(f"device:{device_id}", now)


_IN_PLACE: Final[dict[str, Any]] = {"execution_options": {"synchronize_session": False}}


def answer_of(found: ActionOrder) -> Answer:
    """Return what has come of the order *found* so far."""
    return answers_of([found])[found.id]


def answers_of(orders: Sequence[ActionOrder]) -> dict[str, Answer]:
    """Return by number what has come of *orders* so far: two queries, however many they are."""
    ids = [one.id for one in orders]
    if not ids:
        return {}
    parts: dict[str, list[ActionPart]] = {one: [] for one in ids}
    told = select(ActionPart).where(ActionPart.order_id.in_(ids))
    for part in db.session.scalars(told.order_by(ActionPart.number)):
        parts[part.order_id].append(part)
    files: dict[str, list[ActionFile]] = {one: [] for one in ids}
    there = select(ActionFile).where(ActionFile.order_id.in_(ids))
    for file in db.session.scalars(there.order_by(ActionFile.name)):
        files[file.order_id].append(file)
    return {one.id: _answer(one, parts[one.id], files[one.id]) for one in orders}


def _answer(found: ActionOrder, parts: list[ActionPart], files: list[ActionFile]) -> Answer:
    values: dict[str, Any] = {}
    for part in parts:
        values |= part.values
    told = found.told_files or {}
    judged = tuple(
        (one, told[one.name] == one.sha256 if one.name in told else None) for one in files
    )
    return Answer(values, "".join(part.output for part in parts), judged)


def prune(before: datetime) -> int:
    """Delete orders that were asked *before* then, with their parts; commits each thousand.

    Files go first (``uploads.prune``); an order that still has one is left for the next time.
    """
    gone = 0
    while True:
        old = (
            select(ActionOrder.id)
            .where(
                ActionOrder.asked_at < before,
                ActionOrder.id.not_in(select(ActionFile.order_id)),
            )
            .limit(PRUNE_ROWS)
        )
        ids = list(db.session.scalars(old))
        db.session.execute(delete(ActionPart).where(ActionPart.order_id.in_(ids)), **_IN_PLACE)
        db.session.execute(delete(ActionOrder).where(ActionOrder.id.in_(ids)), **_IN_PLACE)
        db.session.commit()
        gone += len(ids)
        if len(ids) < PRUNE_ROWS:
            return gone


def seconds_of(found: ActionOrder) -> float | None:
    """Return how long it took from the order to the result, None until that came."""
    return (
        None if found.ended_at is None else (found.ended_at - found.asked_at) / timedelta(seconds=1)
    )


def _order_of(device_id: str, cmd_id: str) -> ActionOrder | None:
    """Return the order *cmd_id* of this box; another box's number says nothing."""
    query = select(ActionOrder).where(ActionOrder.id == cmd_id, ActionOrder.device_id == device_id)
    return db.session.scalar(query, execution_options={"populate_existing": True})


def _keep(
    order_id: str, number: int, output: str, values: Mapping[str, Any], now: datetime
) -> None:
    """Keep one part once, as far as all parts stay within what an action may tell.

    The database counts the bytes, so two workers at once keep no more either.
    """
    clean = {name.replace("\x00", ""): _clean(value) for name, value in values.items()}
    text = _clean(output)
    size = len(json.dumps(clean)) + len(text.encode())
    there = select(ActionPart.number).where(
        ActionPart.order_id == order_id, ActionPart.number == number
    )
    if db.session.scalar(there) is not None:
        return
    room = (
        update(ActionOrder)
        .where(
            ActionOrder.id == order_id,
            ActionOrder.stored_bytes + size <= wire.RESULT_BYTES_MAX,
        )
        .values(stored_bytes=ActionOrder.stored_bytes + size)
    )
    taken: Any = db.session.execute(room, **_IN_PLACE)
    if not taken.rowcount:
        db.session.execute(
            update(ActionOrder).where(ActionOrder.id == order_id).values(is_truncated=True),
            **_IN_PLACE,
        )
        return
    row = {
        "order_id": order_id, "number": number, "output": text, "values": clean,
        "received_at": now,
    }  # fmt: skip
    db.session.execute(insert(ActionPart).values(row).on_conflict_do_nothing())


def _clean(value: Any) -> Any:
    """Return *value* without NUL, which PostgreSQL keeps in no text."""
    return value.replace("\x00", "") if isinstance(value, str) else value
