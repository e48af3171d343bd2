"""Sealing many messages of a shape: what a server does for a whole fleet at once.

``seal`` says letter by letter what ``messages.seal`` says, for half of the words' cost: the
fields of a value are read all at once, and the text between them is made once for each
combination of their types. ``seal_many`` also spells only once what all of them say alike,
and signs sixteen of them with one signature. A box seals nothing, and does not load this.
"""

import binascii
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache, partial
from itertools import repeat
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any, Final, cast

from oleada_wire import batch, canonical, envelope, merkle
from oleada_wire.codec import to_json
from oleada_wire.ids import BootId
from oleada_wire.messages import BATCHED, KINDS, SIGNED, WIRE_VERSION, Message
from oleada_wire.parts import Header

Spell = Callable[[Any], str]
BATCH_MESSAGES: Final = 16
"""Twice as many would save a millionth of a second each and cost 43 bytes each (ADR 0027)."""
_NOTHING: Final = type(None)
_PLAIN: Final = frozenset({str, int, bool})


def seal(message: Message, signers: Sequence[envelope.Signer]) -> bytes:
    """Return *message* in an envelope signed by each of *signers*."""
    assert type(message) in SIGNED, "a plain kind is encoded"  # noqa: S101
    body = _outer(cast(Hashable, type(message))).spell(message).encode()
    return envelope.seal_body(KINDS[type(message)], body, signers)


def seal_many(messages: Sequence[Message], signers: Sequence[envelope.Signer]) -> Iterator[bytes]:
    """Yield each of *messages*, all of one kind, in an envelope; each signer signs batches.

    A message that is left over alone is sealed alone. For receivers who understand
    batches only.
    """
    if not messages:
        return
    shape = type(messages[0])
    assert shape in BATCHED, "this kind is signed alone"  # noqa: S101
    assert all(type(one) is shape for one in messages), "a batch is of one kind"  # noqa: S101
    kind = KINDS[shape]
    bodies = [one.encode() for one in _outer(cast(Hashable, shape)).spell_many(messages)]
    for first in range(0, len(bodies), BATCH_MESSAGES):
        part = bodies[first : first + BATCH_MESSAGES]
        if len(part) < batch.MESSAGES_MIN:
            yield envelope.seal_body(kind, part[0], signers)
        else:
            yield from _seal_batch(kind, part, signers)


def _seal_batch(
    kind: str, bodies: Sequence[bytes], signers: Sequence[envelope.Signer]
) -> Iterator[bytes]:
    head = envelope.payload_type(kind)
    levels = merkle.levels(
        [merkle.leaf(envelope.pre_authentication(head, body)) for body in bodies]
    )
    root = batch.body(len(bodies), levels[-1][0])
    signed = envelope.pre_authentication(batch.ROOT_TYPE, root)
    # As ``envelope.spell`` does, but what all have in common is spelt once.
    ends = [
        envelope.spell_value(envelope.Signature(one.keyid, one.sign(signed))) for one in signers
    ]
    frame = b'{"payload":"%%s","payloadType":"%s","signatures":[%s]}' % (
        head.encode(),
        b",".join([b'{"batch":"%%s",%s}' % end for end in ends]),
    )
    base64 = partial(binascii.b2a_base64, newline=False)
    for number, (body, path) in enumerate(zip(bodies, _paths(levels), strict=True)):
        place = batch.encode(batch.Place(len(bodies), number, path))
        yield frame % (base64(body), *repeat(place, len(ends)))


def _paths(levels: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return the hashes beside the way from each leaf to the root, which needs none."""
    paths = [b""]
    for level in levels[-2::-1]:
        size = len(level)
        paths = [(level[n ^ 1] if n ^ 1 < size else b"") + paths[n >> 1] for n in range(size)]
    return paths


class _Shape:
    """How values of one shape are spelt.

    Args:
        places: Where to read each value, by the name that it has in JSON.
        constant: What every value of the shape says besides, spelt already.
    """

    def __init__(self, places: dict[str, str], constant: dict[str, str]) -> None:
        self._names = sorted(places)
        self._constant = constant
        self._read: Callable[[Any], Any] = attrgetter(*(places[name] for name in self._names))
        self._is_one = len(self._names) == 1
        self._known: dict[tuple[type, ...], tuple[str, list[tuple[int, Spell]]]] = {}

    def spell(self, value: Any) -> str:
        """Return *value* as canonical JSON."""
        found = (self._read(value),) if self._is_one else self._read(value)
        text, spells = self._of_types(tuple(map(type, found)))
        return text % tuple([spell(found[n]) for n, spell in spells])

    def spell_many(self, values: Sequence[Any]) -> list[str]:
        """Return each of *values*, at least one, as ``spell`` does, field by field."""
        read = map(self._read, values)
        columns = [tuple(read)] if self._is_one else list(zip(*read, strict=True))
        types = [set(map(type, column)) for column in columns]
        if any(len(kinds) > 1 for kinds in types):  # there is more than one text between them
            return [self.spell(value) for value in values]
        text, spells = self._of_types(tuple(kind for [kind] in types))
        said = [_spell_column(columns[n], spell) for n, spell in spells]
        # What is alike becomes part of the text, in which a per cent sign is written twice.
        text %= tuple([one.replace("%", "%%") if type(one) is str else "%s" for one in said])
        differing = [one for one in said if type(one) is not str]
        rows = zip(*differing, strict=True) if differing else repeat((), len(values))
        return [text % row for row in rows]

    def _of_types(self, types: tuple[type, ...]) -> tuple[str, list[tuple[int, Spell]]]:
        known = self._known.get(types)
        if known is None:  # there are few: a field has its type, or is None
            known = self._known[types] = self._combination(types)
        return known

    def _combination(self, types: tuple[type, ...]) -> tuple[str, list[tuple[int, Spell]]]:
        """Return the text with its places, and which value of *types* goes there, spelt how."""
        kinds = dict(zip(self._names, types, strict=True))
        text, comma = "", ""
        for name in sorted({*kinds, *self._constant}):
            if kinds.get(name) is _NOTHING:
                continue  # what is None is left out
            text += f"{comma}{encode_basestring(name)}:{self._constant.get(name, '%s')}"
            comma = ","
        order = [n for n, kind in enumerate(types) if kind is not _NOTHING]
        return "{" + text + "}", [(n, _speller(types[n])) for n in order]


@cache
def _outer(shape: Any) -> _Shape:
    """Return how messages of *shape* are spelt: the fields of the header stand among their own."""
    places = {one.name: one.name for one in fields(shape) if one.name != "header"}
    places |= {one.name: f"header.{one.name}" for one in fields(Header)}
    return _Shape(places, {"v": str(WIRE_VERSION)})


@cache
def _inner(shape: type) -> _Shape:
    return _Shape({one.name: one.name for one in fields(shape)}, {})


@cache
def _speller(kind: type) -> Spell:
    """Return how a value of exactly *kind* is spelt."""
    if kind is str:
        return encode_basestring
    if kind is int:
        return int.__repr__
    if kind is BootId:
        return lambda boot: encode_basestring(str(boot))
    if kind is tuple:
        return _spell_items
    if is_dataclass(kind):
        return _inner(kind).spell
    return lambda value: canonical.dumps(to_json(value)).decode()


def _spell_column(column: Sequence[Any], spell: Spell) -> str | list[str]:
    """Return the values of *column*, all of one type, as *spell* does; one text if all are alike.

    Equal texts and numbers of one type are spelt alike. Of all else only one and the same
    object is: ``(1,)`` equals ``(True,)``.
    """
    first = column[0]
    if type(first) in _PLAIN:
        is_alike = column.count(first) == len(column)
    else:
        is_alike = all(one is first for one in column)
    if is_alike:
        return spell(first)
    if is_dataclass(first) and type(first) is not BootId:
        return _inner(cast(Hashable, type(first))).spell_many(column)
    return list(map(spell, column))


def _spell_items(items: tuple[Any, ...]) -> str:
    return "[" + ",".join([_speller(cast(Hashable, type(one)))(one) for one in items]) + "]"
