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
from typing import Any, Final, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from oleada_wire.errors import MalformedMessageError
from oleada_wire.ids import BootId

STRING_CHARS_MAX: Final = 8192
ITEMS_MAX: Final = 4096

T = TypeVar("T")

Reader = Callable[[Any, str], Any]
"""Returns a JSON value in its Python shape, or raises; the text names its place."""


def to_json(value: Any) -> Any:
    """Return *value* as what JSON can spell; ``None`` fields are left out."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is BootId:
        return str(value)
    if is_dataclass(kind):
        found = {name: getattr(value, name) for name in _names(kind)}
        return {name: to_json(item) for name, item in found.items() if item is not None}
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(shape: type[T], value: Any, where: str) -> T:
    """Return *value* as a *shape*.

    Args:
        shape: A frozen dataclass.
        value: What the JSON said.
        where: Names the place in errors, for example ``report``.

    Raises:
        MalformedMessageError: *value* is not a *shape*; says which field and why.
    """
    found: T = _shape_reader(cast(Hashable, shape))(value, where)
    return found


@cache
def _names(shape: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(shape))


@cache
def _shape_reader(shape: Any) -> Reader:
    hints = get_type_hints(shape)
    parts = [(field.name, _reader(hints[field.name], _chars_max(field))) for field in fields(shape)]
    missing = {field.name: _when_missing(field, hints[field.name]) for field in fields(shape)}

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, dict):
            raise MalformedMessageError(f"{where}: {_named(value)} found, an object expected.")
        found = {}
        for name, read_part in parts:
            if name in value:
                found[name] = read_part(value[name], f"{where}.{name}")
            else:
                missing[name](found, f"{where}.{name}")
        try:
            return shape(**found)
        except ValueError as error:
            raise MalformedMessageError(f"{where}: {error}") from error

    return read


def _chars_max(field: Field[Any]) -> int:
    found: int = field.metadata.get("chars_max", STRING_CHARS_MAX)
    return found


def _when_missing(field: Field[Any], hint: Any) -> Callable[[dict[str, Any], str], None]:
    """Return what to do for an absent *field*: take its default, take None, or raise."""

    def default(found: dict[str, Any], where: str) -> None:
        """Leave it out: the dataclass knows its default."""

    def none(found: dict[str, Any], where: str) -> None:  # noqa: ARG001 - one shape for all
        found[field.name] = None

    def refuse(found: dict[str, Any], where: str) -> None:  # noqa: ARG001 - one shape for all
        raise MalformedMessageError(f"{where}: missing.")

    if field.default is not MISSING or field.default_factory is not MISSING:
        return default
    return none if type(None) in get_args(hint) else refuse


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
    concrete = [option for option in options if option is not type(None)]
    optional = len(concrete) < len(options)
    by_type = {option: _reader(option, chars_max) for option in concrete}
    last = by_type[concrete[-1]]

    def read(value: Any, where: str) -> Any:
        if value is None and optional:
            return None
        return by_type.get(type(value), last)(value, where)

    return read


def _tuple_reader(read_item: Reader) -> Reader:
    def read(value: Any, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > ITEMS_MAX:
            raise MalformedMessageError(f"{where}: a list of at most {ITEMS_MAX} expected.")
        return tuple([read_item(child, f"{where}[{i}]") for i, child in enumerate(value)])

    return read


def _dict_reader(read_item: Reader) -> Reader:
    def read(value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > ITEMS_MAX:
            raise MalformedMessageError(f"{where}: an object of at most {ITEMS_MAX} expected.")
        return {key: read_item(child, f"{where}.{key[:40]}") for key, child in value.items()}

    return read


def _word_reader(words: type[StrEnum]) -> Reader:
    def read(value: Any, where: str) -> StrEnum:
        try:
            return words(value)
        except ValueError as error:
            known = ", ".join(words)
            raise MalformedMessageError(
                f"{where}: {str(value)[:40]!r} is not one of {known}."
            ) from error

    return read


def _scalar_reader(hint: Any) -> Reader:
    def read(value: Any, where: str) -> Any:
        if type(value) is not hint:
            _refuse_type(hint, value, where)
        return value

    return read


def _text_reader(chars_max: int) -> Reader:
    def read(value: Any, where: str) -> str:
        if type(value) is not str:
            _refuse_type(str, value, where)
        if len(value) > chars_max:
            raise MalformedMessageError(f"{where}: longer than {chars_max} characters.")
        return str(value)

    return read


def _read_boot_id(value: Any, where: str) -> BootId:
    if type(value) is not str:
        _refuse_type(BootId, value, where)
    try:
        return BootId.parse(value)
    except MalformedMessageError as error:
        raise MalformedMessageError(f"{where}: {error}") from error


def _refuse_type(hint: Any, value: Any, where: str) -> NoReturn:
    name = getattr(hint, "__name__", str(hint))
    raise MalformedMessageError(f"{where}: {_named(value)} found, {name} expected.")


def _named(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
