"""After a restore boxes know more than the server: every number is raised above theirs.

What was lost can not be known, so nothing goes on by itself that a person might have
stopped meanwhile. Numbers that boxes compare become the time of the restore, which is
above all that was counted one by one before it, whichever backup is restored how often:

============================  ============================================================
assignments, commands         milliseconds since 1970
timestamp, snapshot (TUF)     seconds since 1970
deny lists, waves             seconds since 2020 (columns of 31 bits: until 2088)
rollouts                      1 000 for each day begun since the backup: people read them
names of assignments          a new tag (restored.py)
============================  ============================================================
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from oleada_server.accounts import service as accounts
from oleada_server.audit import service as audit
from oleada_server.clock import to_ms
from oleada_server.db import db
from oleada_server.devices import sequences
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.releases import service as releases
from oleada_server.rollouts import service as rollouts

ACTOR: Final = "system:restore"
SINCE_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
SINCE_2020: Final = datetime(2020, 1, 1, tzinfo=UTC)
ROLLOUTS_A_DAY: Final = 1000


@dataclass(frozen=True, slots=True)
class Resynchronised:
    """What the restore has changed, for the person who did it.

    Attributes:
        held_rollouts: Numbers of rollouts that wait for a person now.
        devices: How many boxes the server knows.
        revoked: How many were revoked after the backup and are so again; None where no file
            says who.
    """

    held_rollouts: tuple[int, ...]
    devices: int
    revoked: int | None = None


def resynchronise(made_at: datetime, now: datetime) -> Resynchronised:
    """Make the restored database fit for boxes that lived on since *made_at*; one transaction.

    May run twice: what it raises is raised again.
    """
    db.session.rollback()
    since_2020 = _seconds(SINCE_2020, now)
    gap = ROLLOUTS_A_DAY * (max(0, (now - made_at).days) + 1)
    devices = sequences.record_restore(to_ms(now))
    held = rollouts.record_restore(made_at, since_2020, gap, now)
    messaging.record_restore(to_ms(now))
    releases.record_restore(_seconds(SINCE_1970, now), since_2020, now)
    accounts.record_restore()
    after = {"made_at": made_at.isoformat(), "held": [f"R-{number}" for number in held]}
    audit.record(ACTOR, "server.restore", "server", now=now, after=after)
    live.touch("devices", now)
    db.session.commit()
    return Resynchronised(tuple(held), devices)


def _seconds(start: datetime, now: datetime) -> int:
    return int((now - start).total_seconds())
