"""One signature over many messages: what it covers, and whom it counts for."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oleada_wire import batch, bulk, envelope, merkle, messages
from oleada_wire.errors import BadSignatureError

from tests.wire.batches import (
    BATCH,
    BOTH,
    ONE,
    TWO,
    assigns,
    opened,
    place_of,
    sealed,
    taken_apart,
)


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 18, 31, 33])
def test_each_message_of_a_batch_is_believed_by_itself(count: int) -> None:
    found = sealed(count)

    assert [opened(data) for data in found] == assigns(count)
    assert len(set(found)) == count


def test_a_batch_costs_one_signature() -> None:
    made: list[bytes] = []

    class Counting:
        keyid = ONE.keyid

        def sign(self, data: bytes) -> bytes:
            made.append(data)
            return ONE.sign(data)

    found = list(bulk.seal_many(assigns(2 * BATCH + 1), [Counting()]))

    assert len(made) == 3
    assert [taken_apart(data)[1][0].place is None for data in found] == [False] * 2 * BATCH + [True]


def test_a_message_alone_is_sealed_as_ever() -> None:
    [message] = assigns(1)

    assert list(bulk.seal_many([message], [ONE])) == [messages.seal(message, [ONE])]
    assert list(bulk.seal_many([], [ONE])) == []


def test_two_signers_of_a_batch_are_two() -> None:
    assert [opened(data, BOTH) for data in sealed(3, ONE, TWO)] == assigns(3)


def test_a_batched_and_a_plain_signature_count_together_and_one_key_counts_once() -> None:
    data = sealed(5)[3]
    body, [batched] = taken_apart(data)
    plain = {one: taken_apart(messages.seal(assigns(5)[3], [one]))[1][0] for one in (ONE, TWO)}

    assert opened(envelope.spell("assign", body, [batched, plain[TWO]]), BOTH) == assigns(5)[3]
    assert opened(envelope.spell("assign", body, [plain[TWO], batched]), BOTH) == assigns(5)[3]
    for again in (batched, plain[ONE]):
        with pytest.raises(BadSignatureError, match="1 of 2 needed"):
            opened(envelope.spell("assign", body, [batched, again]), BOTH)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 70), data=st.data())
def test_roots_and_paths_are_those_of_rfc_9162(count: int, data: st.DataObject) -> None:
    leaves = [bytes([n]) * 7 for n in range(count)]
    number = data.draw(st.integers(0, count - 1))

    levels = merkle.levels([merkle.leaf(one) for one in leaves])
    path = bulk._paths(levels)[number]

    assert levels[-1][0] == root_by_the_book(leaves)
    assert path == b"".join(path_by_the_book(number, leaves))
    place = batch.decode(batch.encode(batch.Place(count, number, path)).decode())
    assert batch.root_of(leaves[number], place) == batch.body(count, root_by_the_book(leaves))


def root_by_the_book(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it is written there."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = largest_power_below(len(leaves))
    return hashlib.sha256(
        b"\x01" + root_by_the_book(leaves[:k]) + root_by_the_book(leaves[k:])
    ).digest()


def path_by_the_book(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 9162, 2.1.3.1, as it is written there."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path_by_the_book(m, leaves[:k]), root_by_the_book(leaves[k:])]
    return [*path_by_the_book(m - k, leaves[k:]), root_by_the_book(leaves[:k])]


def largest_power_below(n: int) -> int:
    return 1 << (n - 1).bit_length() - 1


def test_the_bytes_of_a_batch_are_the_golden_ones_for_ever() -> None:
    """The last of five, which has nothing beside it on two levels."""
    path = Path("tests/golden/wire/assign.v1.batch.json.sealed")
    data = sealed(5, ONE, TWO)[4]
    if os.environ.get("UPDATE_GOLDEN") and not path.exists():
        path.write_bytes(data)

    assert path.read_bytes() == data
    assert opened(path.read_bytes(), BOTH) == assigns(5)[4]
    assert place_of(data)[:2] == (5, 4)
    assert len(place_of(data).path) == merkle.HASH_BYTES
