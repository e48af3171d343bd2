"""Signed envelopes: DSSE v1 with Ed25519 keys named as TUF names them.

The payload type is signed with the payload, so an ``assign`` can not be replayed as
a ``cmd``. The payload travels as bytes: nothing is spelt again before it is checked.
Some kinds may be signed in batches (``batch``): one signature over many messages.
Source: DSSE protocol 1.0 (secure-systems-lab/dsse); key ids as in the TUF
specification 1.0, 4.2 (SHA-256 of the canonical key object).
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oleada_wire import batch, canonical
from oleada_wire.errors import BadBatchError, BadSignatureError, MalformedMessageError

ENVELOPE_BYTES_MAX: Final = 256 * 1024
SIGNATURES_MAX: Final = 16


class Signer(Protocol):
    """Something that signs: a key in memory, a daemon or a token."""

    @property
    def keyid(self) -> str:
        """The TUF key id of its public key."""
        ...

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class KeySigner:
    """An Ed25519 private key in memory."""

    key: Ed25519PrivateKey
    keyid: str

    @classmethod
    def of(cls, key: Ed25519PrivateKey) -> "KeySigner":
        """Return a signer for *key* under the key id that TUF gives it."""
        return cls(key, keyid_of(key.public_key()))

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes."""
        return self.key.sign(data)


@dataclass(frozen=True, slots=True)
class RoleKeys:
    """Who may sign for a role: public keys by key id, and how many must.

    Attributes:
        keys: Ed25519 public keys by TUF key id.
        threshold: Distinct keys that must sign; at least 1.
    """

    keys: Mapping[str, Ed25519PublicKey]
    threshold: int

    def __post_init__(self) -> None:
        assert self.threshold >= 1, "a role that nobody must sign protects nothing"  # noqa: S101


class Signature(NamedTuple):
    """One signature of an envelope.

    Attributes:
        keyid: Of the key that is said to have made it.
        value: Over the message or, with *place*, over the root of a batch.
        place: Where the message stands in the batch; None when it was signed alone.
    """

    keyid: str
    value: bytes
    place: batch.Place | None = None


def key_object(key: Ed25519PublicKey) -> dict[str, Any]:
    """Return *key* as TUF metadata spells it."""
    return {
        "keytype": "ed25519",
        "keyval": {"public": key.public_bytes_raw().hex()},
        "scheme": "ed25519",
    }


def keyid_of(key: Ed25519PublicKey) -> str:
    """Return the TUF key id of *key*: 64 lowercase hex digits."""
    return hashlib.sha256(canonical.dumps(key_object(key))).hexdigest()


def payload_type(kind: str) -> str:
    """Return the DSSE payload type of message *kind*."""
    return f"application/vnd.oleada.{kind}+json;v=1"


def seal(kind: str, payload: Mapping[str, Any], signers: Iterable[Signer]) -> bytes:
    """Return *payload* as message *kind* in an envelope signed by each of *signers*."""
    return seal_body(kind, canonical.dumps(payload), signers)


def seal_body(kind: str, body: bytes, signers: Iterable[Signer]) -> bytes:
    """Return *body*, which is spelt canonically, as ``seal`` returns a payload."""
    signed = pre_authentication(payload_type(kind), body)
    return spell(kind, body, [Signature(one.keyid, one.sign(signed)) for one in signers])


def spell(kind: str, body: bytes, signatures: Iterable[Signature]) -> bytes:
    """Return the envelope of *body* with *signatures*, as ``canonical`` would spell it."""
    # By hand: key ids, base64 and our own types need no escape.
    spelt = [
        b"{%s}" % spell_value(one)
        if one.place is None
        else b'{"batch":"%s",%s}' % (batch.encode(one.place), spell_value(one))
        for one in signatures
    ]
    return b'{"payload":"%s","payloadType":"%s","signatures":[%s]}' % (
        base64.b64encode(body),
        payload_type(kind).encode(),
        b",".join(spelt),
    )


def spell_value(signature: Signature) -> bytes:
    """Return who made *signature* and its value, as they stand in an envelope."""
    value = base64.b64encode(signature.value)
    return b'"keyid":"%s","sig":"%s"' % (signature.keyid.encode(), value)


def open_sealed(
    kind: str,
    data: bytes,
    role: RoleKeys,
    size_bytes_max: int = ENVELOPE_BYTES_MAX,
    *,
    may_batch: bool = False,
) -> dict[str, Any]:
    """Return the payload of envelope *data* after *role* has been found to sign it.

    Args:
        may_batch: Whether a signature over a batch counts for messages of this *kind*.

    Raises:
        MessageTooLargeError: *data* is longer than *size_bytes_max*.
        MalformedMessageError: *data* is not an envelope of this *kind*.
        BadSignatureError: fewer than the threshold of the role's keys sign it.
        BadBatchError: it claims a place in a batch that can not be, or that is spelt in
            another way than ``spell`` does, or this *kind* does not come in batches.
    """
    outer = canonical.loads(data, kind, size_bytes_max)
    body, signatures = parts(kind, outer)
    _check_batches(kind, data, body, signatures, may_batch=may_batch)
    signed = pre_authentication(payload_type(kind), body)
    good = {
        one.keyid
        for one in signatures
        if (key := role.keys.get(one.keyid)) is not None
        and is_signed(key, one.value, _covered(signed, one.place))
    }
    if len(good) < role.threshold:
        raise BadSignatureError(
            f"Message '{kind}' carries {len(good)} of {role.threshold} needed signatures."
        )
    return canonical.loads(body, kind, size_bytes_max)


def parts(kind: str, outer: dict[str, Any]) -> tuple[bytes, list[Signature]]:
    """Return payload and signatures of envelope *outer*; nothing is verified.

    Raises:
        MalformedMessageError: *outer* is not an envelope of this *kind*.
        BadBatchError: a signature claims a place in a batch that can not be.
    """
    if outer.get("payloadType") != payload_type(kind):
        raise MalformedMessageError(
            f"Envelope has type {str(outer.get('payloadType'))[:80]!r}; "
            f"{payload_type(kind)!r} was expected."
        )
    signatures = outer.get("signatures")
    if not isinstance(signatures, list) or len(signatures) > SIGNATURES_MAX:
        raise MalformedMessageError(
            f"Envelope '{kind}' needs a list of at most {SIGNATURES_MAX} signatures."
        )
    try:
        body = base64.b64decode(outer["payload"], validate=True)
        found = [_signature(one) for one in signatures]
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise MalformedMessageError(f"Envelope '{kind}' is damaged: {error!r}.") from error
    return body, found


def _signature(said: dict[str, Any]) -> Signature:
    value = base64.b64decode(said["sig"], validate=True)
    place = batch.decode(said["batch"]) if "batch" in said else None
    return Signature(str(said["keyid"]), value, place)


def _check_batches(
    kind: str, data: bytes, body: bytes, signatures: list[Signature], *, may_batch: bool
) -> None:
    """Refuse places in a batch where there are none, and a second spelling of one.

    Raises:
        BadBatchError: see there.
    """
    if all(one.place is None for one in signatures):
        return
    if not may_batch:
        raise BadBatchError(f"A '{kind}' is signed alone; this one claims to be of a batch.")
    if spell(kind, body, signatures) != data:
        raise BadBatchError(f"The envelope of a '{kind}' of a batch is not spelt as it must be.")


def _covered(signed: bytes, place: batch.Place | None) -> bytes:
    """Return what a signature is over, for a message that is *signed* alone or in a batch."""
    if place is None:
        return signed
    return pre_authentication(batch.ROOT_TYPE, batch.root_of(signed, place))


def pre_authentication(kind: str, body: bytes) -> bytes:
    """Return DSSE's PAE: what is really signed."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body)


def is_signed(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Return whether *signature* is *key*'s over *data*."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
