"""What is sealed in bulk is, letter by letter, what is sealed one by one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oleada_wire import bulk, messages
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
