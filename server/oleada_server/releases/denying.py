"""The signed deny list of a model: what is withdrawn, and what evidence has halted.

Apart from the rest of releases, because rollouts, which are built on releases, put theirs on it.
"""

from datetime import datetime

from oleada_wire import messages, topics
from oleada_wire.messages import Deny
from sqlalchemy import or_, select

from oleada_server.db import db, insert
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.releases.models import DenyList, Release, ReleaseState


def queue_denial(release_id: int, now: datetime) -> None:
    """Put a release that halted on the signed deny list; part of the caller's transaction."""
    _set_denied(release_id, now, now)


def queue_allowance(release_id: int, now: datetime) -> None:
    """Take a release off the deny list, because a person begins a rollout of it.

    Part of the caller's transaction; one that was withdrawn stays on it.
    """
    _set_denied(release_id, None, now)


def _set_denied(release_id: int, at: datetime | None, now: datetime) -> None:
    release = db.session.get(Release, release_id, with_for_update=True)
    if release is None or (release.denied_at is None) == (at is None):
        return
    release.denied_at = at
    db.session.flush()
    queue_deny(release.hardware_model, now)
    live.touch("releases", now)


def queue_deny(hardware_model: str, now: datetime) -> None:
    """Queue the next signed deny list of *hardware_model*: what is withdrawn, or has halted."""
    is_denied = or_(Release.state == ReleaseState.WITHDRAWN, Release.denied_at.is_not(None))
    withdrawn = select(Release.sha256).where(Release.hardware_model == hardware_model, is_denied)
    digests = sorted(set(db.session.scalars(withdrawn)))
    statement = insert(DenyList).values(
        hardware_model=hardware_model, deny_version=1, digests=digests
    )
    raised = statement.on_conflict_do_update(
        index_elements=["hardware_model"],
        set_={"deny_version": DenyList.deny_version + 1, "digests": digests},
    ).returning(DenyList.deny_version)
    deny_version = int(db.session.execute(raised).scalar_one())
    deny = Deny(messaging.next_header(now), hardware_model, deny_version, tuple(digests))
    payload = messages.seal(deny, [messaging.director()])
    messaging.queue_retained(topics.model(hardware_model, topics.Model.DENY), payload)
