"""Looks say what has changed, and mean all that was seen, whatever the box had seen."""

import random
from dataclasses import replace

import pytest
from oleada_wire import messages
from oleada_wire.errors import MalformedMessageError
from oleada_wire.looks import LOOKS_MAX, READINGS_MAX, Look, Parameters, Samples, told, whole

from tests.wire.samples import HEADER, SLOTS

NAMES = ("Device.DeviceInfo.UpTime", "X_OLEADA_SensesHung", "ready", "a", "b")
VALUES: tuple[bool | int | str, ...] = (0, 1, -5, True, False, "", "Up", "1")


def a_message(looks: tuple[Look, ...]) -> Samples:
    return Samples(HEADER, "5.8.1", "A", SLOTS, looks)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_was_seen_is_what_the_looks_mean(seed: int) -> None:
    dice = random.Random(seed)
    seen: list[tuple[int, int, Parameters]] = [
        (number, number * 1000, {
            name: dice.choice(VALUES) for name in NAMES if dice.random() < 0.7
        })
        for number in range(1, 9)
    ]  # fmt: skip

    looks = told(seen)

    found = list(whole(looks))
    assert found == [parameters for _, _, parameters in seen]
    kinds = [[(name, type(value)) for name, value in sorted(one.items())] for one in found]
    assert kinds == [[(n, type(v)) for n, v in sorted(one.items())] for _, _, one in seen]


def test_what_has_not_changed_is_not_said_again() -> None:
    first, second, third = told([
        (1, 10, {"a": 1, "b": "Up", "ready": True}),
        (2, 20, {"a": 2, "b": "Up", "ready": 1}),
        (3, 30, {"b": "Up"}),
    ])  # fmt: skip

    assert first == Look(1, 10, {"a": 1, "b": "Up", "ready": True})
    assert second == Look(2, 20, {"a": 2, "ready": 1})
    assert third == Look(3, 30, {}, ("a", "ready"))


@pytest.mark.parametrize(
    "numbers", [(), (0,), (-1, 2), (2, 1), (3, 3), tuple(range(1, LOOKS_MAX + 2))]
)
def test_looks_out_of_order_or_none_or_too_many_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="looks"):
        a_message(tuple(Look(number, 5) for number in numbers))


def test_a_peer_s_looks_out_of_order_are_malformed() -> None:
    good = a_message((Look(1, 5), Look(2, 6)))
    data = messages.encode(good).replace(b'"seq":2', b'"seq":1')

    with pytest.raises(MalformedMessageError, match="order of their seq"):
        messages.decode(Samples, data)


def test_looks_that_grow_without_end_are_refused() -> None:
    half = READINGS_MAX // 2 + 1
    looks = (
        Look(1, 5, {f"a{n}": n for n in range(half)}),
        Look(2, 6, {f"b{n}": n for n in range(half)}),
    )

    with pytest.raises(MalformedMessageError, match=str(READINGS_MAX)):
        list(whole(looks))
    assert len(list(whole([looks[0], replace(looks[1], gone=tuple(looks[0].changed))]))) == 2
