"""Frozen dataclasses to JSON objects and back, strictly and without surprises.

Knows the few shapes that messages are made of: ``str``, ``int``, ``bool``,
``StrEnum``, ``BootId``, ``X | None``, ``tuple[X, ...]``, ``dict[str, X]`` and nested
dataclasses. Unknown fields are ignored (a newer peer may send more); a missing field
takes its default or is an error; a wrong type is always an error. A text has at most
``STRING_CHARS_MAX`` characters, or as many as ``chars_max`` in its field's metadata.
"""

import types
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Final, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from oleada_wire.errors import MalformedMessageError
from oleada_wire.ids import BootId

STRING_CHARS_MAX: Final = 8192
ITEMS_MAX: Final = 4096

T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Return *value* as what JSON can spell; ``None`` fields are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        if isinstance(value, BootId):
            return str(value)
        found = {field.name: getattr(value, field.name) for field in fields(value)}
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
    if not isinstance(value, dict):
        raise MalformedMessageError(f"{where}: {_named(value)} found, an object expected.")
    hints = _hints(cast("Any", shape))
    found = {}
    for field in fields(shape):  # type: ignore[arg-type]
        place = f"{where}.{field.name}"
        if field.name in value:
            chars_max = field.metadata.get("chars_max", STRING_CHARS_MAX)
            found[field.name] = _read(hints[field.name], value[field.name], place, chars_max)
        elif _is_required(field, hints[field.name]):
            raise MalformedMessageError(f"{place}: missing.")
        elif field.default is MISSING and field.default_factory is MISSING:
            found[field.name] = None
    try:
        return shape(**found)
    except ValueError as error:
        raise MalformedMessageError(f"{where}: {error}") from error


@cache
def _hints(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _is_required(field: Field[Any], hint: Any) -> bool:
    optional = type(None) in get_args(hint)
    return field.default is MISSING and field.default_factory is MISSING and not optional


def _read(hint: Any, value: Any, where: str, chars_max: int) -> Any:
    origin = get_origin(hint)
    if origin in (types.UnionType, Union):
        return _read_union(hint, value, where, chars_max)
    if origin is tuple:
        return _read_tuple(get_args(hint)[0], value, where, chars_max)
    if origin is dict:
        return _read_dict(get_args(hint)[1], value, where, chars_max)
    if is_dataclass(hint) and hint is not BootId:
        return from_json(hint, value, where)  # type: ignore[arg-type]
    return _read_scalar(hint, value, where, chars_max)


def _read_union(hint: Any, value: Any, where: str, chars_max: int) -> Any:
    options = get_args(hint)
    if value is None and type(None) in options:
        return None
    concrete = [option for option in options if option is not type(None)]
    for option in concrete[:-1]:
        if type(value) is option:
            return _read(option, value, where, chars_max)
    return _read(concrete[-1], value, where, chars_max)


def _read_tuple(item: Any, value: Any, where: str, chars_max: int) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) > ITEMS_MAX:
        raise MalformedMessageError(f"{where}: a list of at most {ITEMS_MAX} expected.")
    return tuple(_read(item, child, f"{where}[{i}]", chars_max) for i, child in enumerate(value))


def _read_dict(item: Any, value: Any, where: str, chars_max: int) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > ITEMS_MAX:
        raise MalformedMessageError(f"{where}: an object of at most {ITEMS_MAX} expected.")
    return {
        key: _read(item, child, f"{where}.{key[:40]}", chars_max) for key, child in value.items()
    }


def _read_scalar(hint: Any, value: Any, where: str, chars_max: int) -> Any:
    if hint is BootId and isinstance(value, str):
        return BootId.parse(value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _read_word(hint, value, where)
    if hint is str and isinstance(value, str) and len(value) > chars_max:
        raise MalformedMessageError(f"{where}: longer than {chars_max} characters.")
    if type(value) is not hint:
        name = getattr(hint, "__name__", str(hint))
        raise MalformedMessageError(f"{where}: {_named(value)} found, {name} expected.")
    return value


def _read_word(words: type[StrEnum], value: Any, where: str) -> StrEnum:
    try:
        return words(value)
    except ValueError as error:
        known = ", ".join(words)
        raise MalformedMessageError(
            f"{where}: {str(value)[:40]!r} is not one of {known}."
        ) from error


def _named(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
