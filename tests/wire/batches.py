"""Batches for tests, taken apart and put together again."""

import json
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_wire import batch, bulk, envelope, merkle, messages
from oleada_wire.envelope import KeySigner, RoleKeys, Signature
from oleada_wire.messages import KINDS, Assign, Message

from tests.wire.samples import SAMPLES

ONE, TWO, STRANGER = (KeySigner.of(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32))
                      for n in (1, 2, 3))  # fmt: skip
KEYS = {one.keyid: one.key.public_key() for one in (ONE, TWO)}
EITHER, BOTH = RoleKeys(KEYS, 1), RoleKeys(KEYS, 2)
USUAL = SAMPLES["assign"]
BATCH = bulk.BATCH_MESSAGES


def assigns(count: int) -> list[Assign]:
    """Return assignments for *count* boxes, each with an id of its own."""
    assert isinstance(USUAL, Assign)
    return [
        replace(
            USUAL,
            header=replace(USUAL.header, id=f"{number:032x}"),
            device_id=f"VX41{number:08d}",
            assignment_seq=number + 1,
        )
        for number in range(count)
    ]


def sealed(count: int, *signers: KeySigner) -> list[bytes]:
    return list(bulk.seal_many(assigns(count), signers or (ONE,)))


def opened(data: bytes, role: RoleKeys = EITHER) -> Assign:
    return messages.open_message(Assign, data, role)


def taken_apart(data: bytes) -> tuple[bytes, list[Signature]]:
    return envelope.parts("assign", json.loads(data))


def put_together(data: bytes, *places: batch.Place) -> bytes:
    """Return envelope *data* with one signature, its first, at each of *places*."""
    body, (first, *_) = taken_apart(data)
    return envelope.spell("assign", body, [first._replace(place=place) for place in places])


def place_of(data: bytes) -> batch.Place:
    [found, *_] = taken_apart(data)[1]
    assert found.place is not None
    return found.place


def spelt(message: Message) -> bytes:
    """Return *message* as it is signed and carried."""
    return envelope.parts(KINDS[type(message)], json.loads(messages.seal(message, [])))[0]


def of_a_batch(message: Message, *signers: KeySigner) -> bytes:
    """Return *message*, of any kind, in a batch that is signed by the rules."""
    kind, body = KINDS[type(message)], spelt(message)
    signed = [envelope.pre_authentication(envelope.payload_type(kind), body), b"another"]
    levels = merkle.levels([merkle.leaf(one) for one in signed])
    root = envelope.pre_authentication(batch.ROOT_TYPE, batch.body(2, levels[-1][0]))
    place = batch.Place(2, 0, levels[0][1])
    return envelope.spell(
        kind, body, [Signature(one.keyid, one.sign(root), place) for one in signers]
    )
