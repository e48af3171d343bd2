"""Damage to where an envelope says that its message stands in a batch."""

import base64
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from oleada_wire.merkle import HASH_BYTES

KIND: Final = "place"
NUMBERS: Final = 4
"""Bytes of size and number, before the path."""


def in_place(document: Any, dice: Random, others: Sequence[str]) -> str:
    """Give signatures of the envelope *document* a place that is not theirs; return the kind.

    Args:
        others: Places of other messages, of this batch and of another one.
    """
    signatures = document["signatures"]
    change = dice.choice(_CHANGES)
    place = change(signatures[0]["batch"], dice, others)
    for one in signatures[: dice.choice((1, len(signatures)))]:
        one["batch"] = place
    return KIND


def _number(text: str, dice: Random, _: Sequence[str]) -> str:
    data = bytearray(base64.b64decode(text))
    at = dice.randrange(NUMBERS)
    data[at] = dice.choice((data[at] ^ 1, data[at] ^ 2, dice.randrange(256)))
    return _spelt(data)


def _cut(text: str, dice: Random, _: Sequence[str]) -> str:
    data = base64.b64decode(text)
    return _spelt(data[: -dice.choice((1, HASH_BYTES, dice.randrange(1, len(data))))])


def _long(text: str, dice: Random, _: Sequence[str]) -> str:
    data = base64.b64decode(text)
    more = dice.choice((1, HASH_BYTES, 2 * HASH_BYTES, 20 * HASH_BYTES, 100_000))
    return _spelt(data + (data[NUMBERS:] * more)[:more])


def _bit(text: str, dice: Random, _: Sequence[str]) -> str:
    data = bytearray(base64.b64decode(text))
    data[dice.randrange(NUMBERS, len(data))] ^= 1 << dice.randrange(8)
    return _spelt(data)


def _order(text: str, dice: Random, _: Sequence[str]) -> str:
    data = base64.b64decode(text)
    at = range(NUMBERS, len(data), HASH_BYTES)
    hashes = [data[n : n + HASH_BYTES] for n in at]
    dice.shuffle(hashes)
    return _spelt(data[:NUMBERS] + b"".join(hashes))


def _other(_: str, dice: Random, others: Sequence[str]) -> str:
    return dice.choice(others)


def _second(text: str, dice: Random, _: Sequence[str]) -> str:
    """Return *text* with bits set that base64 does not read, or with a blank in it."""
    bare = text.rstrip("=")
    odd = f"{bare[:-1]}{chr(ord(bare[-1]) + 1)}{text[len(bare) :]}"
    return dice.choice((odd, f"{text}\n", bare, f"{text}="))


def _spelt(data: bytes | bytearray) -> str:
    return base64.b64encode(data).decode()


_CHANGES: Final[Sequence[Callable[[str, Random, Sequence[str]], str]]] = (
    _number, _cut, _long, _bit, _order, _other, _second,
)  # fmt: skip
