"""Frozen dataclasses to JSON objects and back, strictly and without surprises.

Knows the few shapes that messages are made of: ``str``, ``int``, ``bool``,
``StrEnum``, ``BootId``, ``X | None``, ``tuple[X, ...]``, ``dict[str, X]`` and nested
dataclasses. Unknown fields are ignored (a newer peer may send more); a missing field
takes its default or is an error; a wrong type is always an error. A text has at most
``STRING_CHARS_MAX`` characters, or as many as ``chars_max`` in its field's metadata.
"""

import types
from collections.abc import Callable, Hashable
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import (
    Any,
    Final,
    NoReturn,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from oleada_wire.errors import MalformedMessageError
from oleada_wire.ids import BootId

STRING_CHARS_MAX: Final = 8192
_PLAIN: Final = frozenset({str, int, bool, type(None)})
ITEMS_MAX: Final = 4096

T = TypeVar("T")

Reader = Callable[[Any], Any]
"""Returns a JSON value in its Python shape, or raises :class:`_UnfitError`."""


class _UnfitError(Exception):
    """A value is not of its shape; *where* grows on the way out: naming places costs."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.where = ""

    def within(self, place: str) -> Self:
        self.where = place + self.where
        return self


def to_json(value: Any) -> Any:
    """Return *value* as what JSON can spell; ``None`` fields are left out."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is BootId:
        return str(value)
    if (names := _names(cast(Hashable, kind))) is not None:
        return _object(value, names)
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, list | tuple):
        return [item if type(item) in _PLAIN else to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: item if type(item) in _PLAIN else to_json(item) for key, item in value.items()}
    return value


def _object(value: Any, names: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for name in names:
        if (item := getattr(value, name)) is not None:
            # A call for each plain value would be most of the cost.
            found[name] = item if type(item) in _PLAIN else to_json(item)
    return found


def from_json(shape: type[T], value: Any, where: str) -> T:
    """Return *value* as a *shape*.

    Args:
        shape: A frozen dataclass.
        value: What the JSON said.
        where: Names the place in errors, for example ``report``.

    Raises:
        MalformedMessageError: *value* is not a *shape*; says which field and why.
    """
    try:
        found: T = _shape_reader(cast(Hashable, shape))(value)
    except _UnfitError as unfit:
        raise MalformedMessageError(f"{where}{unfit.where}: {unfit}") from unfit
    return found


@cache
def _names(shape: Any) -> tuple[str, ...] | None:
    """Return the names of the fields of *shape*; None if it is no dataclass."""
    return tuple(field.name for field in fields(shape)) if is_dataclass(shape) else None


@cache
def _shape_reader(shape: Any) -> Reader:
    hints = get_type_hints(shape)
    parts = [
        (one.name, _reader(hints[one.name], _chars_max(one)), _absent(one, hints[one.name]))
        for one in fields(shape)
    ]

    def read(value: Any) -> Any:
        if type(value) is not dict:
            raise _UnfitError(f"{_named(value)} found, an object expected.")
        found = []
        name = ""
        try:
            for name, read_part, absent in parts:
                found.append(read_part(value[name]) if name in value else absent())
        except _UnfitError as unfit:
            raise unfit.within(f".{name}") from unfit.__cause__
        try:
            return shape(*found)
        except ValueError as error:
            raise _UnfitError(str(error)) from error

    return read


def _chars_max(field: Field[Any]) -> int:
    found: int = field.metadata.get("chars_max", STRING_CHARS_MAX)
    return found


def _absent(field: Field[Any], hint: Any) -> Callable[[], Any]:
    """Return what to do for a missing *field*: make its default, or None, or raise."""
    if field.default_factory is not MISSING:
        return field.default_factory
    if field.default is not MISSING:
        return lambda: field.default
    return _none if type(None) in get_args(hint) else _refuse_absent


def _none() -> None:
    return None


def _refuse_absent() -> NoReturn:
    raise _UnfitError("missing.")


def _reader(hint: Any, chars_max: int) -> Reader:
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        return _union_reader(get_args(hint), chars_max)
    if origin is tuple:
        return _tuple_reader(_reader(get_args(hint)[0], chars_max))
    if origin is dict:
        return _dict_reader(_reader(get_args(hint)[1], chars_max))
    if hint is BootId:
        return _read_boot_id
    if is_dataclass(hint):
        return _shape_reader(cast(Hashable, hint))
    if hint is str:
        return _text_reader(chars_max)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _word_reader(hint)
    return _scalar_reader(hint)


def _union_reader(options: tuple[Any, ...], chars_max: int) -> Reader:
    by_type = {option: _reader(option, chars_max) for option in options}
    last = [by_type[option] for option in options if option is not type(None)][-1]

    def read(value: Any) -> Any:
        return by_type.get(type(value), last)(value)

    return read


def _tuple_reader(read_item: Reader) -> Reader:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > ITEMS_MAX:
            raise _UnfitError(f"a list of at most {ITEMS_MAX} expected.")
        found: list[Any] = []
        try:
            for child in value:
                found.append(read_item(child))
        except _UnfitError as unfit:
            raise unfit.within(f"[{len(found)}]") from unfit.__cause__
        return tuple(found)

    return read


def _dict_reader(read_item: Reader) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict or len(value) > ITEMS_MAX:
            raise _UnfitError(f"an object of at most {ITEMS_MAX} expected.")
        found = {}
        key = ""
        try:
            for key, child in value.items():
                found[key] = read_item(child)
        except _UnfitError as unfit:
            raise unfit.within(f".{key[:40]}") from unfit.__cause__
        return found

    return read


def _word_reader(words: type[StrEnum]) -> Reader:
    def read(value: Any) -> StrEnum:
        try:
            return words(value)
        except ValueError as error:
            known = ", ".join(words)
            raise _UnfitError(f"{str(value)[:40]!r} is not one of {known}.") from error

    return read


def _scalar_reader(hint: Any) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is not hint:
            _refuse_type(hint, value)
        return value

    return read


def _text_reader(chars_max: int) -> Reader:
    def read(value: Any) -> Any:
        if type(value) is str and len(value) <= chars_max:
            return value
        if type(value) is not str:
            _refuse_type(str, value)
        raise _UnfitError(f"longer than {chars_max} characters.")

    return read


def _read_boot_id(value: Any) -> BootId:
    if type(value) is not str:
        _refuse_type(BootId, value)
    try:
        return BootId.parse(value)
    except MalformedMessageError as error:
        raise _UnfitError(str(error)) from error


def _refuse_type(hint: Any, value: Any) -> NoReturn:
    name = getattr(hint, "__name__", str(hint))
    raise _UnfitError(f"{_named(value)} found, {name} expected.")


def _named(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
