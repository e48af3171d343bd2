"""Which boxes a wave takes by what they are: by attribute, by group, and how many of them.

Pure. Inside one attribute any value will do, different attributes narrow together. An
attribute that a box has not told matches nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from oleada_wire.version import is_version, version_key

from oleada_server.rollouts.errors import BadPlanError

VALUES_MAX: Final = 200
VALUE_CHARS_MAX: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxKind:
    """What a box is, as far as a wave may choose by it; None for what it has not told."""

    region: str | None = None
    version: str | None = None
    zone: str | None = None
    groups: frozenset[str] = frozenset()
    provides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A filter over boxes of one model; at least one attribute is named.

    Attributes:
        provides: Each of these the box must be able to do.
        version_min: The oldest version a box may run.
        version_max: The newest version a box may run.
    """

    region: tuple[str, ...] = ()
    version: tuple[str, ...] = ()
    zone: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    version_min: str | None = None
    version_max: str | None = None

    def __post_init__(self) -> None:
        for name in LISTS:
            _check_values(name, getattr(self, name))
        for name in VERSIONS:
            limit = getattr(self, name)
            if limit is not None and not (type(limit) is str and is_version(limit)):
                raise BadPlanError(f"{name} is {limit!r}; dotted numbers were expected.", name)
        if not any(getattr(self, one.name) for one in fields(self)):
            raise BadPlanError("A filter names at least one attribute of boxes.", "where")


LISTS: Final = ("region", "version", "zone", "group", "provides")
VERSIONS: Final = ("version_min", "version_max")
ATTRIBUTES: Final = LISTS + VERSIONS


def matches(where: Where, box: BoxKind) -> bool:
    """Return whether *box* is one that *where* asks for."""
    return all(passed for _, passed in checks(where, box))


def checks(where: Where, box: BoxKind) -> list[tuple[str, bool]]:
    """Return for each attribute that *where* names whether *box* has it, in a fixed order."""
    found: dict[str, Callable[[], bool]] = {
        "region": lambda: box.region in where.region,
        "version": lambda: _is_one_of(box.version, where.version),
        "zone": lambda: box.zone in where.zone,
        "group": lambda: not box.groups.isdisjoint(where.group),
        "provides": lambda: box.provides.issuperset(where.provides),
        "version_min": lambda: _is_between(box.version, where.version_min, None),
        "version_max": lambda: _is_between(box.version, None, where.version_max),
    }
    return [(name, found[name]()) for name in ATTRIBUTES if getattr(where, name)]


def where_from(found: Any) -> Where:
    """Return the filter that JSON *found* spells: attribute → list of texts, or a version.

    Raises:
        BadPlanError: It spells none; an attribute that is not known is not left out.
    """
    if type(found) is not dict:
        raise BadPlanError("A filter is an object of attributes.", "where")
    if unknown := sorted(str(name) for name in found if name not in ATTRIBUTES):
        raise BadPlanError(
            f"{unknown[0][:40]!r} is no attribute of boxes; choose by one of "
            f"{', '.join(ATTRIBUTES)}.",
            "where",
        )
    given: dict[str, Any] = {n: tuple(v) if type(v) is list else v for n, v in found.items()}
    return Where(**given)


def where_json(where: Where) -> dict[str, Any]:
    """Return *where* as :func:`where_from` reads it."""
    found = {one.name: getattr(where, one.name) for one in fields(where)}
    return {name: list(v) if type(v) is tuple else v for name, v in found.items() if v}


@dataclass(frozen=True, slots=True)
class Cover:
    """What a person writes for a wave that is neither a share nor a list."""

    count: int | None
    where: Where | None


def parse_cover(text: str) -> Cover:
    """Return what *text* spells: ``count=200; region=Brno, Praha; version=1.0.0``.

    Raises:
        BadPlanError: It spells neither a count nor a filter.
    """
    count: int | None = None
    given: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        if not equals or name in given or (name == "count" and count is not None):
            raise BadPlanError(
                f"{part[:40]!r} is not an attribute once, such as region=Brno.", "where"
            )
        if name == "count":
            count = _count(values)
        else:
            listed = [value.strip() for value in values.split(",")]
            given[name] = values if name in VERSIONS else listed
    if count is None and not given:
        raise BadPlanError("Write a count or an attribute, such as count=200.", "where")
    return Cover(count, where_from(given) if given else None)


def cover_text(count: int | None, where: Where | None) -> str:
    """Return a count and a filter as :func:`parse_cover` reads them."""
    parts = [] if count is None else [f"count={count}"]
    found: Mapping[str, Any] = {} if where is None else where_json(where)
    parts += [
        f"{name}={value if type(value) is str else ', '.join(value)}"
        for name, value in found.items()
    ]
    return "; ".join(parts)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text)):
        raise BadPlanError(f"A count of boxes is a number from 1, not {text[:20]!r}.", "count")
    return int(text)


def _check_values(name: str, values: Any) -> None:
    is_list = type(values) is tuple and len(values) <= VALUES_MAX
    if not is_list or not all(_is_value(value) for value in values):
        raise BadPlanError(
            f"{name} of a filter is a list of at most {VALUES_MAX} texts of 1 to "
            f"{VALUE_CHARS_MAX} printable characters, without comma and semicolon.",
            name,
        )


def _is_value(value: object) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= VALUE_CHARS_MAX:
        return False
    return value.isprintable() and not set(value) & set(",;") and value == value.strip()


def _is_one_of(version: str | None, wanted: tuple[str, ...]) -> bool:
    """Return whether *version* is one of *wanted*: 1.0 is 1.0.0, as everywhere."""
    if version is None or not is_version(version):
        return version in wanted
    found = version_key(version)
    return any(version_key(one) == found for one in wanted if is_version(one))


def _is_between(version: str | None, low: str | None, high: str | None) -> bool:
    if version is None or not is_version(version):
        return False
    found = version_key(version)
    above = low is None or version_key(low) <= found
    return above and (high is None or found <= version_key(high))
