"""Renewal: a certificate, in time or late, becomes the next one, for a key of its own.

The box proves the old key by TLS and the new one by its request. The same request again
(a lost answer, a power cut) gets the same certificate. There is no end to how late a box
may come: one that lay in a cupboard for years is still itself unless it was revoked.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select

from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices.models import Device
from oleada_server.enrolment import pki
from oleada_server.enrolment.errors import (
    BoxRevokedError,
    KeyNotNewError,
    RenewalNotDueError,
    RenewTooOftenError,
)
from oleada_server.enrolment.models import Certificate
from oleada_server.enrolment.peer import Peer, demand_not_revoked
from oleada_server.enrolment.service import in_turn, record_certificate

log = logging.getLogger(__name__)

A_DAY_MAX: Final = 6
"""A box asks for one in two months; this many is one that loses its keys, or somebody else."""
WAIT_S: Final = 3600


def renew(peer: Peer, key: ec.EllipticCurvePublicKey, now: datetime) -> str:
    """Return the PEM of the next certificate of the box that *peer* has proved to be.

    Idempotent: while the certificate of *key* is good, it is given again.

    Raises:
        BoxNotKnownError: there is no such box.
        BoxRevokedError: it was revoked, or this certificate or key of it was.
        KeyNotNewError: *key* is that of another box.
        RenewalNotDueError: the old certificate has not come to half of its life.
        RenewTooOftenError: it has been given too many of late.
    """
    spki = pki.spki_sha256(key)
    with in_turn():
        db.session.get(Device, peer.device_id, with_for_update=True)  # one at a time for a box
        demand_not_revoked(peer)
        given = _given_for(spki)
        if any(one.device_id != peer.device_id for one in given):
            _ring(peer, spki, now, "alarm: a renewal was tried with the key of another box")
            raise KeyNotNewError
        if any(one.revoked_at is not None for one in given):
            raise BoxRevokedError
        for one in given:
            if one.not_after > max(now, peer.not_after):
                db.session.rollback()
                return one.pem
        return _next(peer, key, spki, now)


def _next(peer: Peer, key: ec.EllipticCurvePublicKey, spki: str, now: datetime) -> str:
    """Return a new certificate, in one transaction."""
    if not peer.is_half_over(now):
        raise RenewalNotDueError
    newer = _newer_than(peer)
    since = now - timedelta(days=1) - pki.SKEW
    if sum(one.not_before > since for one in newer) >= A_DAY_MAX:
        raise RenewTooOftenError(WAIT_S)
    if newer:
        _ring(peer, spki, now, "alarm: an older certificate asked for a key more; perhaps a copy")
    issued = record_certificate(peer.device_id, key, spki, now)
    pem = issued.pem
    if peer.is_expired(now):
        audit.record(
            f"device:{peer.device_id}", "device.renew", f"device:{peer.device_id}", now=now,
            reason=f"its certificate had expired {(now - peer.not_after).days} days before",
            after={"spki_sha256": spki},
        )  # fmt: skip
    db.session.commit()
    log.info("box %s has a new certificate until %s", peer.device_id, issued.not_after.date())
    return pem


def _given_for(spki: str) -> Sequence[Certificate]:
    query = select(Certificate).where(Certificate.spki_sha256 == spki)
    return db.session.scalars(query.order_by(Certificate.not_after.desc())).all()


def _newer_than(peer: Peer) -> Sequence[Certificate]:
    query = select(Certificate).where(
        Certificate.device_id == peer.device_id, Certificate.not_before > peer.not_before
    )
    return db.session.scalars(query).all()


def _ring(peer: Peer, spki: str, now: datetime, alarm: str) -> None:
    """Write *alarm* about the box into the audit trail; commits."""
    audit.record(
        f"device:{peer.device_id}", "device.renew-alarm", f"device:{peer.device_id}",
        now=now, reason=alarm, after={"spki_sha256": spki},
    )  # fmt: skip
    db.session.commit()
