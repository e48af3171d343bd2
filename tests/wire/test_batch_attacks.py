"""Every way to abuse a signature over a batch, each refused for its own reason."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from oleada_wire import batch, bulk, envelope, merkle, messages
from oleada_wire.envelope import Signature
from oleada_wire.errors import BadBatchError, BadSignatureError, MalformedMessageError, WireError
from oleada_wire.messages import BATCHED, KINDS, Cmd, Lease, Message

from tests.wire.batches import (
    BATCH,
    EITHER,
    KEYS,
    ONE,
    STRANGER,
    USUAL,
    assigns,
    of_a_batch,
    opened,
    place_of,
    put_together,
    sealed,
    spelt,
    taken_apart,
)
from tests.wire.samples import SAMPLES


def test_the_path_of_another_message_shows_nothing() -> None:
    found = sealed(BATCH)

    for mine in range(BATCH):
        for other in range(BATCH):
            if mine != other:
                with pytest.raises(BadSignatureError, match="0 of 1"):
                    opened(put_together(found[mine], place_of(found[other])))


def test_the_path_of_another_tree_shows_nothing() -> None:
    mine, other = sealed(2 * BATCH)[3], sealed(2 * BATCH)[BATCH + 3]

    with pytest.raises(BadSignatureError, match="0 of 1"):
        opened(put_together(mine, place_of(other)))


def test_a_hash_swapped_with_its_neighbour_shows_nothing() -> None:
    data = sealed(BATCH)[5]
    place = place_of(data)
    hashes = [place.path[n : n + 32] for n in range(0, len(place.path), 32)]

    for n in range(len(hashes) - 1):
        swapped = [*hashes[:n], hashes[n + 1], hashes[n], *hashes[n + 2 :]]
        with pytest.raises(BadSignatureError, match="0 of 1"):
            opened(put_together(data, place._replace(path=b"".join(swapped))))


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_other_number_and_size_is_refused(count: int) -> None:
    """All places that can be spelt near the true one: only the true one is believed."""
    for number, data in enumerate(sealed(count)):
        place = place_of(data)
        for size in range(2 * count + 2):
            for other in range(size + 1):
                if (size, other) != (count, number):
                    with pytest.raises((BadBatchError, BadSignatureError)):
                        opened(put_together(data, place._replace(size=size, number=other)))


def test_a_path_that_is_cut_or_goes_on_is_refused_before_anything_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = sealed(BATCH)[9]
    place = place_of(data)
    cut = [put_together(data, place._replace(path=place.path[:n])) for n in range(len(place.path))]
    on = [put_together(data, place._replace(path=place.path + bytes(n))) for n in (1, 31, 32, 64)]

    def crash(*_: object) -> bytes:
        raise AssertionError("something was hashed")

    monkeypatch.setattr(batch, "leaf", crash)

    for damaged in [*cut, *on]:
        with pytest.raises(BadBatchError, match="it needs 128"):
            opened(damaged)


def test_a_path_is_bounded_before_it_is_read() -> None:
    longest = batch.Place(batch.MESSAGES_MAX, 0, bytes(batch.PATH_BYTES_MAX))
    assert len(batch.encode(longest)) == batch.TEXT_CHARS_MAX
    assert batch.decode(batch.encode(longest).decode()) == longest

    for place in (longest._replace(path=longest.path + b"\0"), batch.Place(65_535, 0, bytes(512))):
        with pytest.raises(BadBatchError, match="at most 432 characters"):
            batch.decode(batch.encode(place).decode())


@pytest.mark.parametrize(
    "place", [(0, 0, 0), (1, 0, 0), (2, 2, 0), (5, 7, 64), (1025, 1024, 32), (65_535, 65_534, 320)]
)
def test_there_is_no_such_place(place: tuple[int, int, int]) -> None:
    """Sizes that no batch has, and numbers beyond the last; the path would be long enough."""
    size, number, path_bytes = place
    text = batch.encode(batch.Place(size, number, bytes(path_bytes))).decode()

    with pytest.raises(BadBatchError, match=f"No batch has a message {number} of {size}"):
        batch.decode(text)


def test_an_inner_node_does_not_pass_for_a_message() -> None:
    """A thief who holds two hashes of a tree has the words of the node over them."""
    data = sealed(4)[0]
    place, signature = place_of(data), taken_apart(data)[1][0]
    left = merkle.leaf(envelope.pre_authentication(envelope.payload_type("assign"), USUAL_BODY))
    inner = left + place.path[:32]

    for body in (inner, b"\x01" + inner, b"\x00" + inner):
        for path in (place.path[32:], place.path):
            for size in (2, 3, 4):
                forged = Signature(ONE.keyid, signature.value, batch.Place(size, 0, path))
                with pytest.raises(WireError):
                    opened(envelope.spell("assign", body, [forged]))


USUAL_BODY = spelt(assigns(1)[0])


def test_a_root_is_no_message_and_a_message_no_root() -> None:
    data = sealed(4)[1]
    body, [signature] = taken_apart(data)
    root = batch.root_of(
        envelope.pre_authentication(envelope.payload_type("assign"), body), place_of(data)
    )
    plain = Signature(ONE.keyid, signature.value)
    assert ONE.key.public_key().verify(
        signature.value, envelope.pre_authentication(batch.ROOT_TYPE, root)
    ) is None  # fmt: skip

    for said in (root, body):
        with pytest.raises(BadSignatureError, match="0 of 1"):
            opened(envelope.spell("assign", said, [plain]))
    assert all(envelope.payload_type(kind) != batch.ROOT_TYPE for kind in KINDS.values())


def test_a_plain_signature_is_none_over_a_root() -> None:
    data = sealed(2)[0]
    body, _ = taken_apart(data)
    [plain] = taken_apart(messages.seal(assigns(2)[0], [ONE]))[1]

    with pytest.raises(BadSignatureError, match="0 of 1"):
        opened(envelope.spell("assign", body, [plain._replace(place=place_of(data))]))


def test_a_root_signed_by_another_key_shows_nothing() -> None:
    data = sealed(4, STRANGER)[1]
    body, [signature] = taken_apart(data)

    with pytest.raises(BadSignatureError, match="0 of 1"):
        opened(data)
    with pytest.raises(BadSignatureError, match="0 of 1"):
        opened(envelope.spell("assign", body, [signature._replace(keyid=ONE.keyid)]))


def test_an_assignment_of_a_batch_does_not_pass_for_a_command_or_any_other_kind() -> None:
    outer = json.loads(sealed(2)[0])

    for shape, kind in KINDS.items():
        if shape in messages.SIGNED - BATCHED:
            relabelled = json.dumps({**outer, "payloadType": envelope.payload_type(kind)})
            with pytest.raises(BadBatchError, match="signed alone"):
                messages.open_message(shape, relabelled.encode(), EITHER)


@pytest.mark.parametrize("kind", ["lease", "cmd", "wave", "deny", "audit-head"])
def test_no_other_kind_is_believed_of_a_batch(kind: str) -> None:
    message: Message = SAMPLES[kind]
    data = of_a_batch(message, ONE)

    with pytest.raises(BadBatchError, match="signed alone"):
        messages.open_message(type(message), data, EITHER)
    with pytest.raises(AssertionError, match="this kind is signed alone"):
        list(bulk.seal_many([message] * 2, [ONE]))
    assert envelope.open_sealed(kind, data, EITHER, may_batch=True)["v"] == 1


def test_a_batch_is_of_one_kind() -> None:
    lease, cmd = SAMPLES["lease"], SAMPLES["cmd"]
    assert isinstance(lease, Lease)
    assert isinstance(cmd, Cmd)

    with pytest.raises(AssertionError, match="of one kind"):
        list(bulk.seal_many([*assigns(1), cmd], [ONE]))


def second(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data.replace(old, new)


SECOND_SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "a blank": second(b'"batch":', b'"batch": '),
    "an escape": second(b'"batch"', b'"\\u0062atch"'),
    "another field": second(b'"batch":', b'"a":1,"batch":'),
    "another field outside": second(b'{"payload":', b'{"a":1,"payload":'),
    "another order": lambda data: (
        json.dumps(json.loads(data), separators=(",", ":"))
        .replace('"payload":', '"z":')
        .replace('"z":', '"payload":')
        .encode()
        .replace(b'{"batch":"', b'{"keyid":"' + ONE.keyid.encode() + b'","batch":"')
        .replace(b'","keyid":"' + ONE.keyid.encode() + b'","sig"', b'","sig"')
    ),
    "a line after it": lambda data: data + b"\n",
    "a slash escaped": lambda data: data.replace(b"+json", b"\\u002bjson"),
}


@pytest.mark.parametrize("change", SECOND_SPELLINGS.values(), ids=SECOND_SPELLINGS)
def test_a_second_spelling_is_refused(change: Callable[[bytes], bytes]) -> None:
    data = sealed(4)[2]
    other = change(data)
    assert other != data

    with pytest.raises(BadBatchError, match="not spelt as it must be"):
        opened(other)


@pytest.mark.parametrize("name", ["batch", "sig"])
def test_bits_that_base64_does_not_use_are_no_second_spelling(name: str) -> None:
    data = sealed(4)[2]  # 68 bytes of a place, 64 of a signature: both end in a padded group
    text = json.loads(data)["signatures"][0][name]
    other = (
        text.rstrip("=")[:-1] + chr(ord(text.rstrip("=")[-1]) + 1) + text[len(text.rstrip("=")) :]
    )
    assert base64.b64decode(other) == base64.b64decode(text)

    with pytest.raises(BadBatchError, match="not spelt as it must be"):
        opened(data.replace(text.encode(), other.encode()))


@pytest.mark.parametrize(
    "text", [None, 7, [], {}, True, "", "AAIAAA==", "***", "é", "A" * 436, "AAEAAA==", "AAAAAA=="]
)
def test_what_is_no_place_in_a_batch_is_refused_and_nothing_worse(text: Any) -> None:
    outer = json.loads(sealed(2)[0])
    outer["signatures"][0]["batch"] = text

    with pytest.raises(BadBatchError):
        opened(json.dumps(outer, separators=(",", ":")).encode())


def test_an_envelope_of_a_batch_that_lost_its_place_is_not_signed() -> None:
    body, [signature] = taken_apart(sealed(2)[0])

    with pytest.raises(BadSignatureError, match="0 of 1"):
        opened(envelope.spell("assign", body, [signature._replace(place=None)]))


def test_no_part_of_an_envelope_of_a_batch_passes_for_it() -> None:
    data = sealed(3)[2]

    for cut in range(len(data)):
        with pytest.raises(WireError):
            opened(data[:cut])


def test_one_bit_anywhere_in_it_makes_it_unbelieved() -> None:
    """Every bit of the envelope: there is no second spelling, so not one may be flipped."""
    clearings = [replace(one, assignment=None) for one in assigns(2)]
    data = list(bulk.seal_many(clearings, [ONE]))[1]
    assert opened(data) == clearings[1]

    for n in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[n // 8] ^= 1 << n % 8
        with pytest.raises(WireError):
            opened(bytes(damaged))


def test_the_first_agents_refuse_what_they_do_not_understand() -> None:
    """They ignore the field and check the signature over the message, as version 1 says."""
    body, [signature] = taken_apart(sealed(2)[0])
    signed = envelope.pre_authentication(envelope.payload_type("assign"), body)

    assert not envelope.is_signed(KEYS[ONE.keyid], signature.value, signed)


def test_an_envelope_of_the_first_version_stays_what_it_is() -> None:
    assert opened(messages.seal(USUAL, [ONE])) == USUAL
    with pytest.raises(MalformedMessageError):
        opened(messages.seal(USUAL, [ONE]).replace(b'"sig"', b'"signature"'))
