"""Boxes that are left alone for a while: one records, or somebody works on its owner's case.

Whoever knows of it says so: the desk, the service that records, a person. It is asked at
the lease, when a box would begin and before it arms, so that nothing is decided in advance
and a note that ends late keeps nobody out for ever. Only a rollout that a person has forced
goes over it, and over nothing else: windows, limits, signatures and halts stay. Whether
somebody watches, the box knows, and decides alone, unless its assignment is a forced one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, select

from oleada_server.audit import service as audit
from oleada_server.db import db, insert
from oleada_server.devices import service as devices
from oleada_server.live import service as live
from oleada_server.rollouts.errors import BadPlanError
from oleada_server.rollouts.models import LeftAlone, Rollout
from oleada_server.rollouts.plan_box import RETRY_AFTER_S_MAX, RETRY_AFTER_S_MIN, NotNow

REF_CHARS_MAX: Final = 80


class Because(StrEnum):
    """Why a box is left alone."""

    RECORDING = "recording"
    CRITICAL_CASE = "critical-case"


LONGEST: Final = {Because.RECORDING: timedelta(days=1), Because.CRITICAL_CASE: timedelta(days=14)}
"""A note that nobody takes back must not keep a box on an old release for ever."""


def note(
    device_id: str, because: Because, *, until: datetime, ref: str, actor: str, now: datetime
) -> None:
    """Leave a box alone *until* then; a second note of the same kind replaces the first.

    Args:
        device_id: The box.
        because: What goes on there.
        until: Aware; later than *now*, and no further off than ``LONGEST`` allows.
        ref: What people find it by: the number of the case, the title that is recorded.
        actor: Who says so.
        now: Aware time.

    Raises:
        DeviceNotFoundError: There is no such box.
        BadPlanError: The time or the name is not what was expected.
    """
    devices.get(device_id)
    longest = LONGEST[because]
    if until.tzinfo is None or not now < until <= now + longest:
        raise BadPlanError(
            f"until is {until.isoformat()}; a time with a zone was expected, later than now and "
            f"within {longest.days} days.",
            "until",
        )
    if len(ref) > REF_CHARS_MAX or not (ref.isprintable() or not ref):
        raise BadPlanError(f"ref has at most {REF_CHARS_MAX} printable characters.", "ref")
    said = {"ref": ref, "until": until, "noted_at": now, "noted_by": actor}
    statement = insert(LeftAlone).values(device_id=device_id, kind=str(because), **said)
    db.session.execute(
        statement.on_conflict_do_update(index_elements=["device_id", "kind"], set_=said)
    )
    after = {"because": str(because), "until": until.isoformat(), "ref": ref}
    about, reason = f"device:{device_id}", ref or None
    audit.record(actor, "device.leave_alone", about, now=now, reason=reason, after=after)
    live.touch(f"device:{device_id}", now)
    db.session.commit()


def lift(device_id: str, because: Because, *, actor: str, now: datetime) -> None:
    """Take a note back; one that is not there is taken back already.

    Raises:
        DeviceNotFoundError: There is no such box.
    """
    devices.get(device_id)
    mine = (LeftAlone.device_id == device_id) & (LeftAlone.kind == str(because))
    if db.session.scalar(select(LeftAlone.kind).where(mine)) is not None:
        db.session.execute(delete(LeftAlone).where(mine))
        before = {"because": str(because)}
        audit.record(
            actor, "device.leave_alone_no_more", f"device:{device_id}", now=now, before=before
        )
        live.touch(f"device:{device_id}", now)
    db.session.commit()


def of(device_id: str, now: datetime) -> Sequence[LeftAlone]:
    """Return why a box is left alone at *now*, in the order of the words."""
    query = select(LeftAlone).where(LeftAlone.device_id == device_id, LeftAlone.until > now)
    return db.session.scalars(query.order_by(LeftAlone.kind)).all()


def refusal(rollout: Rollout, device_id: str, now: datetime) -> NotNow | None:
    """Return that a box must wait because it is left alone; None if not, or if forced."""
    found = [] if rollout.is_forced else of(device_id, now)
    if not found:
        return None
    wait_s = int((max(one.until for one in found) - now).total_seconds())
    # It asks again soon: who has taken the note back wants it to begin.
    return NotNow("busy", max(RETRY_AFTER_S_MIN, min(wait_s, RETRY_AFTER_S_MAX)))
