"""What is sealed in bulk is, letter by letter, what is sealed one by one."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oleada_wire import bulk, envelope, messages
from oleada_wire.envelope import RoleKeys
from oleada_wire.messages import SIGNED, Assign, Assignment, Cmd, Lease, Message, Window

from tests.wire.samples import HEADER, LATER, SAMPLES, SIGNERS

SEALED = {name: one for name, one in {**SAMPLES, **LATER}.items() if type(one) in SIGNED}
ROLE = RoleKeys({one.keyid: one.key.public_key() for one in SIGNERS}, 2)
USUAL = SAMPLES["assign"]


@pytest.mark.parametrize("name", SEALED)
def test_every_signed_kind_is_spelt_alike(name: str) -> None:
    message = SEALED[name]

    assert bulk.seal(message, SIGNERS) == messages.seal(message, list(SIGNERS))


def test_a_plain_kind_is_not_sealed() -> None:
    with pytest.raises(AssertionError, match="a plain kind is encoded"):
        bulk.seal(SAMPLES["hello"], SIGNERS)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=40),
    number=st.integers(-(2**62), 2**62),
    window=st.none() | st.just(Window(1380, 300)),
    proof=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    is_there=st.booleans(),
)
def test_whatever_an_assignment_says_is_spelt_alike(
    text: str, number: int, window: Window | None, proof: tuple[str, ...], is_there: bool
) -> None:
    assert isinstance(USUAL, Assign)
    assert isinstance(USUAL.assignment, Assignment)
    found = replace(
        USUAL.assignment, assignment_id=text, size_bytes=number, window=window, proof=proof
    )
    message = replace(USUAL, assignment_seq=number, assignment=found if is_there else None)

    assert bulk.seal(message, []) == messages.seal(message, [])


@pytest.mark.parametrize("value", [True, False, 0, 1, "1", "%s %%", 'a"\\\n'])
def test_true_and_1_are_not_mixed_up_nor_is_a_per_cent_sign(value: bool | int | str) -> None:
    command = SAMPLES["cmd"]
    assert isinstance(command, Cmd)
    message: Message = replace(command, arguments={"value": value}, verb=f"v{value}")

    assert bulk.seal(message, []) == messages.seal(message, [])


def test_a_truth_in_the_place_of_another_type_is_spelt_as_a_truth() -> None:
    lease = SAMPLES["lease"]
    assert isinstance(lease, Lease)
    for granted in (True, False):
        message: Message = replace(lease, granted=granted)
        assert bulk.seal(message, []) == messages.seal(message, [])


def test_what_is_sealed_in_bulk_is_believed() -> None:
    assert messages.open_message(Assign, bulk.seal(USUAL, SIGNERS), ROLE) == USUAL
    assert USUAL.header == HEADER


WORDS = st.sampled_from(["", "AS-1", "%s %% %", 'a"\\\n', "ñ"])
SAME_OR_NOT = st.tuples(
    WORDS, st.integers(-2, 2), st.none() | st.just(Window(1380, 300)), st.booleans(),
    st.lists(WORDS, max_size=2).map(tuple),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(SAME_OR_NOT, min_size=1, max_size=5))
def test_many_are_spelt_as_each_of_them_whatever_they_have_in_common(said: list[Any]) -> None:
    assert isinstance(USUAL, Assign)
    assert isinstance(USUAL.assignment, Assignment)
    found = []
    for text, number, window, is_there, proof in said:
        assignment = replace(
            USUAL.assignment, assignment_id=text, wave_id=number, window=window, proof=proof
        )
        found.append(
            replace(
                USUAL,
                header=replace(HEADER, seq=number),
                assignment_seq=number,
                assignment=assignment if is_there else None,
            )
        )

    sealed = list(bulk.seal_many(found, SIGNERS))

    assert list(map(body_of, sealed)) == [body_of(messages.seal(one, [])) for one in found]


def body_of(data: bytes) -> bytes:
    return envelope.parts("assign", json.loads(data))[0]


@pytest.mark.parametrize("values", [(True, 1), (1, True), (1, 1), (True, True), ((1,), (True,))])
def test_what_is_equal_and_spelt_otherwise_is_not_taken_for_alike(values: tuple[Any, Any]) -> None:
    assert isinstance(USUAL, Assign)
    found = [replace(USUAL, assignment_seq=value) for value in values]

    sealed = list(bulk.seal_many(found, SIGNERS))

    assert list(map(body_of, sealed)) == [body_of(messages.seal(one, [])) for one in found]
