"""Envelopes that several people sign one after the other, on machines of their own.

The box's side is `oleada_wire.envelope`; this is what it takes to get there: an envelope
without signatures, signatures added to it, and those of two copies brought together.
The payload is never spelt again: every signature is over the bytes that were first written.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_wire import canonical, envelope
from oleada_wire.envelope import RoleKeys, Signer
from oleada_wire.errors import WireError

from oleada_store.errors import BadEnvelopeError


def payload_of(kind: str, sealed: str) -> dict[str, Any]:
    """Return the payload of envelope *sealed*; nothing is verified.

    Raises:
        BadEnvelopeError: *sealed* is not an envelope of this *kind*.
    """
    try:
        return canonical.loads(_body(kind, sealed), kind, envelope.ENVELOPE_BYTES_MAX)
    except WireError as error:
        raise BadEnvelopeError(f"The payload of the '{kind}' is unreadable: {error}") from error


def claimed(kind: str, sealed: str) -> tuple[str, ...]:
    """Return the key ids that stand in envelope *sealed*; no signature is verified.

    Raises:
        BadEnvelopeError: *sealed* is not an envelope of this *kind*.
    """
    return tuple(keyid for keyid, _ in _signatures(kind, sealed))


def signed_by(kind: str, sealed: str, keys: Mapping[str, Ed25519PublicKey]) -> frozenset[str]:
    """Return the ids of those of *keys* that have signed envelope *sealed*.

    Raises:
        BadEnvelopeError: *sealed* is not an envelope of this *kind*.
    """
    data = _signed_bytes(kind, sealed)
    return frozenset(
        keyid
        for keyid, signature in _signatures(kind, sealed)
        if keyid in keys and envelope.is_signed(keys[keyid], signature, data)
    )


def is_complete(kind: str, sealed: str, role: RoleKeys) -> bool:
    """Return whether enough keys of *role* have signed envelope *sealed*."""
    return len(signed_by(kind, sealed, role.keys)) >= role.threshold


def with_signature(kind: str, sealed: str, signer: Signer) -> str:
    """Return envelope *sealed* with the signature of *signer* added, or anew.

    Raises:
        BadEnvelopeError: *sealed* is not an envelope of this *kind*.
    """
    mine = (signer.keyid, signer.sign(_signed_bytes(kind, sealed)))
    others = [pair for pair in _signatures(kind, sealed) if pair[0] != signer.keyid]
    return _spelt(kind, _body(kind, sealed), [*others, mine])


def merged(kind: str, sealed: str, other: str, role: RoleKeys) -> str:
    """Return *sealed* with those signatures of *other* that keys of *role* really made.

    Raises:
        BadEnvelopeError: *other* is no envelope of this *kind*, or signs something else.
    """
    if _body(kind, other) != _body(kind, sealed):
        raise BadEnvelopeError(
            f"What was signed is not the '{kind}' that waits here; fetch it again and sign that."
        )
    data = _signed_bytes(kind, sealed)
    found = dict(_signatures(kind, sealed)) | dict(_signatures(kind, other))
    good = [
        (keyid, signature)
        for keyid, signature in sorted(found.items())
        if keyid in role.keys and envelope.is_signed(role.keys[keyid], signature, data)
    ]
    return _spelt(kind, _body(kind, sealed), good)


def _spelt(kind: str, body: bytes, signatures: Iterable[tuple[str, bytes]]) -> str:
    outer = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": envelope.payload_type(kind),
        "signatures": [
            {"keyid": keyid, "sig": base64.b64encode(signature).decode()}
            for keyid, signature in signatures
        ],
    }
    return canonical.dumps(outer).decode()


def _signed_bytes(kind: str, sealed: str) -> bytes:
    return envelope.pre_authentication(envelope.payload_type(kind), _body(kind, sealed))


def _body(kind: str, sealed: str) -> bytes:
    return _parts(kind, sealed)[0]


def _signatures(kind: str, sealed: str) -> list[tuple[str, bytes]]:
    return _parts(kind, sealed)[1]


def _parts(kind: str, sealed: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    try:
        outer = canonical.loads(sealed.encode(), kind, envelope.ENVELOPE_BYTES_MAX)
        body, signatures = envelope.parts(kind, outer)
    except WireError as error:
        raise BadEnvelopeError(f"This is not the envelope of a '{kind}': {error}") from error
    if any(one.place is not None for one in signatures):
        raise BadEnvelopeError(
            f"A '{kind}' is signed alone, by people who read it; not in a batch."
        )
    return body, [(one.keyid, one.value) for one in signatures]
