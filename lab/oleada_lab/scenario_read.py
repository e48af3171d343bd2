"""Reads tables of TOML into dataclasses, and names the key that is wrong.

A key that is not known is refused, because a fault that is misspelt would be a fault that
never happens. Durations are ``90s``, ``30m``, ``2h``, ``1d`` or ``40ms``, sizes ``64KiB`` or
``1MiB``, shares 0 to 1.
"""

import re
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from oleada_lab.errors import LabError

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES: Final = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}

T = TypeVar("T")


class ScenarioError(LabError):
    """A scenario can not be read; says which key and why."""


class Duration(int):
    """Seconds, written as ``30m``."""


class Moment(int):
    """Milliseconds, written as ``40ms`` or ``2s``; may be less than nothing: ``-10d``."""


class Size(int):
    """Bytes, written as ``64KiB``."""


def table(shape: type[T], found: Any, where: str) -> T:
    """Return *shape* filled from table *found*, which stands at *where*.

    Raises:
        ScenarioError: a key is not known or missing, or its value makes no sense.
    """
    if not isinstance(found, dict):
        raise ScenarioError(f"{where} is {found!r}; a table was expected.")
    known: dict[str, Field[Any]] = {one.name: one for one in fields(shape)}  # type: ignore[arg-type]
    if unknown := sorted(set(found) - set(known)):
        raise ScenarioError(f"{where}.{unknown[0]} is not known; known: {', '.join(known)}.")
    hints = get_type_hints(shape)
    values = {}
    for name, one in known.items():
        if name in found:
            values[name] = _value(hints[name], found[name], f"{where}.{name}")
        elif one.default is MISSING and one.default_factory is MISSING:
            raise ScenarioError(f"{where}.{name} is missing.")
    return shape(**values)


def _value(hint: Any, found: Any, where: str) -> Any:
    origin, options = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _value(next(one for one in options if one is not type(None)), found, where)
    if origin is dict:
        return _named(options[1], found, where)
    if origin is tuple:
        if not isinstance(found, list):
            raise ScenarioError(f"{where} is {found!r}; a list was expected.")
        return tuple(_value(options[0], item, f"{where}[{i}]") for i, item in enumerate(found))
    if is_dataclass(hint):
        return table(hint, found, where)  # type: ignore[arg-type]
    return _plain(hint, found, where)


def _named(hint: Any, found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ScenarioError(f"{where} is {found!r}; a table was expected.")
    return {name: _value(hint, item, f"{where}.{name}") for name, item in found.items()}


def _plain(hint: Any, found: Any, where: str) -> Any:
    if hint is Duration:
        milliseconds = _quantity(found, _UNITS_MS, where)
        if milliseconds % 1000:
            raise ScenarioError(f"{where} is {found!r}; whole seconds were expected.")
        return Duration(milliseconds // 1000)
    if hint is Moment:
        return Moment(_quantity(found, _UNITS_MS, where, signed=True))
    if hint is Size:
        return Size(_quantity(found, _SIZES, where))
    if hint is float and type(found) is int:
        return float(found)
    if type(found) is not hint:
        raise ScenarioError(f"{where} is {found!r}; {hint.__name__} was expected.")
    return found


def _quantity(found: Any, units: dict[str, int], where: str, *, signed: bool = False) -> int:
    sign = "-?" if signed else ""
    pattern = rf"({sign}[0-9]{{1,9}})([A-Za-z]+)"
    match = re.fullmatch(pattern, found) if isinstance(found, str) else None
    if match is None or match[2] not in units:
        raise ScenarioError(f"{where} is {found!r}; a number with one of {', '.join(units)}.")
    return int(match[1]) * units[match[2]]
