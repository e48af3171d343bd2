"""Damage to JSON and to bytes; every kind has a name, every draw comes from the dice given."""

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2, 99, 2**31, 2**40, 2**63, 10**30, 1.5, "", "1", "x", "1.0.31",
    "2.0", [], {}, ["x"], [None], [[]], {"x": 1}, "2026-11-21T12:00:00Z", "2099-01-01T00:00:00Z",
    "2026-11-21", "1970-01-01T00:00:00Z", "ed25519", "rsa", "0" * 64, "*", "..", "../../etc",
    "root", "targets", "snapshot.json", "\x00", "\u202e", "\ud800", "a" * 10_000,
)  # fmt: skip
"""Put in place of a value: edges of each type, and words that mean something elsewhere."""
TEXTS: Final = (
    b"[" * 100_000, b'{"a":' * 5_000, b"1e999", b"NaN", b"-Infinity", b"\xff\xfe", b"\xef\xbb\xbf",
    b"9" * 5_000, b"\\ud800", b"\x00", b"//", b"null", b'{"signed":{},"signatures":[]}', b"",
)  # fmt: skip
"""Whole documents, or pieces of one, on which readers of JSON have failed."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside *value*."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, child in value.items():
            found += places(child, (*path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found += places(child, (*path, index))
    return found


def in_meaning(document: Any, dice: Random) -> str:
    """Damage one value of *document* in place; return the kind of damage."""
    *parents, last = dice.choice(places(document))
    place = document
    for key in parents:
        place = place[key]
    kind = dice.choice(("remove", "double", "replace", "replace", "swap", "nudge"))
    match kind:
        case "remove":
            del place[last]
        case "double" if isinstance(place, dict):
            place[f"{last}2"] = place[last]
        case "double":
            place.append(place[last])
        case "swap":
            other = dice.choice(places(document))
            place[last] = _at(document, other)
        case "nudge" if type(place[last]) is int:
            place[last] += dice.choice((-1, 1, 2**31))
        case "nudge" if isinstance(place[last], str) and place[last]:
            text, at = place[last], dice.randrange(len(place[last]))
            place[last] = text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :]
        case _:
            place[last] = dice.choice(VALUES)
    return kind


def in_bytes(data: bytes, dice: Random) -> tuple[str, bytes]:
    """Return the kind of damage, and *data* with it."""
    kind = dice.choice(tuple(_BYTES))
    return kind, _BYTES[kind](data, dice)


def spelt(document: Any, *, tightly: bool = False) -> bytes:
    """Return *document* as JSON, also where a strict writer would refuse; lone surrogates stay.

    *tightly*, as the wire spells what can be spelt so.
    """
    separators = (",", ":") if tightly else None
    try:
        return json.dumps(document, separators=separators, sort_keys=tightly).encode()
    except (ValueError, RecursionError):  # the damage made a loop: a text of its own kind
        return b'{"loop":' * 50


def _at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return json.loads(json.dumps(document))


def _flip(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1 :]


def _cut(data: bytes, dice: Random) -> bytes:
    return data[: dice.randrange(len(data))]


def _drop(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + data[at + 1 + dice.randrange(40) :]


def _repeat(data: bytes, dice: Random) -> bytes:
    begin = dice.randrange(len(data))
    end = begin + dice.randrange(200)
    return data[:end] + data[begin:end] + data[end:]


def _insert(data: bytes, dice: Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(TEXTS) + data[at:]


def _replace(data: bytes, dice: Random) -> bytes:
    del data
    return dice.choice(TEXTS)


def _grow(data: bytes, dice: Random) -> bytes:
    return data + b" " * dice.choice((1, 20_000, 600_000))


_BYTES: Final[dict[str, Callable[[bytes, Random], bytes]]] = {
    "flip": _flip,
    "cut": _cut,
    "drop": _drop,
    "repeat": _repeat,
    "insert": _insert,
    "document": _replace,
    "grow": _grow,
}
