"""What pages read of telemetry: the health samples of one box over a time."""

from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import func, select

from oleada_server.db import db
from oleada_server.telemetry.models import HealthSample

SAMPLES_MAX = 3000
"""Of one box on one page: a week of samples every few minutes fits."""
BOOTS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Begun:
    """A boot that ran a version, heard first *at*."""

    boot: str
    version: str
    at: datetime


def samples_of(device_id: str, since: datetime, limit: int = SAMPLES_MAX) -> list[HealthSample]:
    """Return the health samples of a box received after *since*, oldest first.

    At most *limit*, the newest: a box that talks far too much does not slow a page.
    """
    query = select(HealthSample).where(
        HealthSample.device_id == device_id, HealthSample.received_at > since
    )
    newest = query.order_by(HealthSample.received_at.desc(), HealthSample.id.desc())
    return list(db.session.scalars(newest.limit(limit)))[::-1]


def boots_of(device_id: str, since: datetime, limit: int = BOOTS_MAX) -> list[Begun]:
    """Return each boot and version of a box that was heard after *since*, oldest first."""
    first = func.min(HealthSample.received_at)
    query = (
        select(HealthSample.boot, HealthSample.version, first)
        .where(HealthSample.device_id == device_id, HealthSample.received_at > since)
        .group_by(HealthSample.boot, HealthSample.version)
        .order_by(first.desc())
        .limit(limit)
    )
    return [Begun(*row) for row in db.session.execute(query)][::-1]


def told_by(
    device_id: str, since: datetime, limit: int = SAMPLES_MAX
) -> list[tuple[datetime, dict[str, Any]]]:
    """Return when a box was how after *since*, oldest first; see samples_of.

    Looks that came together count from the newest of them, which is of when they came: the
    clock of the box says how far they are apart, and nothing else.
    """
    columns = (HealthSample.received_at, HealthSample.box_at, HealthSample.parameters)
    query = select(*columns).where(
        HealthSample.device_id == device_id, HealthSample.received_at > since
    )
    newest = query.order_by(HealthSample.received_at.desc(), HealthSample.id.desc())
    found = [tuple(row) for row in db.session.execute(newest.limit(limit))][::-1]
    last: dict[datetime, datetime] = {}
    for came, taken, _ in found:
        last[came] = max(last.get(came, taken), taken)
    told = [(came - (last[came] - taken), said) for came, taken, said in found]
    return sorted((one for one in told if one[0] > since), key=itemgetter(0))
