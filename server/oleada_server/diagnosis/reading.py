"""Reads the playbooks of this package; whatever can not be meant is refused with its place.

``signs.toml`` and ``causes.toml`` are shared, ``likelihoods.toml`` holds what was measured,
and each other file is the playbook of one symptom. Format: docs/reference/playbooks.md.
"""

import tomllib
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from oleada_server.diagnosis.errors import PlaybookError, SymptomNotKnownError
from oleada_server.diagnosis.shapes import (
    Cause,
    Library,
    Operator,
    Playbook,
    Sign,
    Stage,
    Value,
)

HOME: Final = Path(__file__).parent / "playbooks"
SCHEMA: Final = 1
SIGNS: Final = "signs.toml"
CAUSES: Final = "causes.toml"
LIKELIHOODS: Final = "likelihoods.toml"
FRESH_S_MAX: Final = 7 * 24 * 3600
T = TypeVar("T")
_STAGES: Final = {str(stage.name).lower(): stage for stage in Stage}
_SIGN_KEYS: Final = frozenset({"fact", "title", "source", "fresh_s", "unit", "check", "asks"})
_CAUSE_KEYS: Final = frozenset({"stage", "title", "next", "say", "action", "makes"})


@cache
def library() -> Library:
    """Return the playbooks that this version ships; read once.

    Raises:
        PlaybookError: One of them can not be meant.
    """
    return read({path.name: path.read_text("utf-8") for path in sorted(HOME.glob("*.toml"))})


def playbook(found: Library, symptom: str) -> Playbook:
    """Return the playbook for *symptom*.

    Raises:
        SymptomNotKnownError: There is none.
    """
    if symptom not in found.playbooks:
        raise SymptomNotKnownError(symptom, found.playbooks)
    return found.playbooks[symptom]


def read(files: Mapping[str, str]) -> Library:
    """Return the library in *files*, texts by file name.

    Raises:
        PlaybookError: Says the file, the place, what was and what was expected.
    """
    tables = {name: _table(name, text) for name, text in files.items()}
    missing = {SIGNS, CAUSES, LIKELIHOODS} - set(tables)
    if missing:
        raise PlaybookError(sorted(missing)[0], "file", "is missing.")
    signs = _each(SIGNS, tables[SIGNS], "sign", _sign)
    chances = _chances(tables[LIKELIHOODS], signs)

    def cause(name: str, said: dict[str, Any]) -> Cause:
        return _cause(name, said, signs, chances.get(name, {}))

    causes = _each(CAUSES, tables[CAUSES], "cause", cause)
    books = {}
    for file in sorted(set(tables) - {SIGNS, CAUSES, LIKELIHOODS}):
        book = _playbook(file, tables[file], causes)
        books[book.symptom] = book
    background = {name: chances["background"].get(name, 0.0) for name in signs}
    return Library(signs, causes, books, background)


def _table(file: str, text: str) -> dict[str, Any]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlaybookError(file, "file", f"is not TOML: {error}.") from error
    if found.pop("schema", None) != SCHEMA:
        raise PlaybookError(file, "schema", f"must be {SCHEMA}.")
    return found


def _each(
    file: str, table: dict[str, Any], word: str, make: Callable[[str, dict[str, Any]], T]
) -> dict[str, T]:
    """Return what *make* makes of each entry ``[word.<name>]`` of *table*."""
    _whole(file, "version", table.get("version"))
    _keys(file, "file", table, {"version", word})
    return {name: make(name, said) for name, said in table[word].items()}


def _sign(name: str, said: dict[str, Any]) -> Sign:
    place = f"sign.{name}"
    tests = [one for one in Operator if one in said]
    _keys(SIGNS, place, said, _SIGN_KEYS | set(tests))
    if len(tests) != 1:
        raise PlaybookError(SIGNS, place, f"needs one of {', '.join(Operator)}.")
    operator = tests[0]
    fresh_s = said.get("fresh_s")
    if type(fresh_s) is not int or not 0 < fresh_s <= FRESH_S_MAX:
        raise PlaybookError(SIGNS, place, f"fresh_s must be 1 to {FRESH_S_MAX} seconds.")
    words = {key: _text(SIGNS, place, said, key) for key in ("fact", "title", "source")}
    more = {key: _text(SIGNS, place, said, key, "") for key in ("unit", "check", "asks")}
    limits = _limits(place, operator, said[operator])
    return Sign(
        id=name, operator=operator, limits=limits, fresh=timedelta(seconds=fresh_s), **words, **more
    )


def _limits(place: str, operator: Operator, said: object) -> tuple[Value, ...]:
    if operator in {Operator.BELOW, Operator.ABOVE}:
        if isinstance(said, bool) or not isinstance(said, int | float):
            raise PlaybookError(SIGNS, place, f"{operator} must be a number, not {said!r}.")
        return (said,)
    if not isinstance(said, list) or not said or not all(_is_word(one) for one in said):
        raise PlaybookError(SIGNS, place, f"{operator} must be a list of words or truth values.")
    return tuple(said)


def _is_word(value: object) -> bool:
    return isinstance(value, str | bool)


def _cause(
    name: str, said: dict[str, Any], signs: Collection[str], measured: Mapping[str, float]
) -> Cause:
    place = f"cause.{name}"
    _keys(CAUSES, place, said, _CAUSE_KEYS)
    if said.get("stage") not in _STAGES:
        raise PlaybookError(CAUSES, place, f"stage must be one of {', '.join(_STAGES)}.")
    makes = said.get("makes")
    if not isinstance(makes, list) or not makes:
        raise PlaybookError(CAUSES, place, "makes must name at least one sign.")
    for one in makes:
        if one not in signs:
            raise PlaybookError(CAUSES, place, f"makes {one!r}, which {SIGNS} has not.")
    return Cause(
        id=name,
        stage=_STAGES[said["stage"]],
        title=_text(CAUSES, place, said, "title"),
        next_step=_text(CAUSES, place, said, "next"),
        say=_text(CAUSES, place, said, "say"),
        action=_text(CAUSES, place, said, "action", ""),
        makes={one: measured.get(one, 0.0) for one in makes},
    )


def _playbook(file: str, table: dict[str, Any], causes: Mapping[str, Cause]) -> Playbook:
    _keys(file, "file", table, {"symptom", "version", "title", "priors"})
    symptom = _text(file, "symptom", table, "symptom")
    if file != f"{symptom}.toml":
        raise PlaybookError(file, "symptom", f"is {symptom!r}; the file's name was expected.")
    priors = table.get("priors")
    if not isinstance(priors, dict) or not priors:
        raise PlaybookError(file, "priors", "must name at least one cause.")
    for name, prior in priors.items():
        if name not in causes:
            raise PlaybookError(file, f"priors.{name}", f"{CAUSES} has no such cause.")
        _share(file, f"priors.{name}", prior)
    looked_at = {sign for name in priors for sign in causes[name].makes}
    version = _whole(file, "version", table.get("version"))
    title = _text(file, "title", table, "title")
    return Playbook(symptom, version, title, priors, tuple(sorted(looked_at)))


def _chances(table: dict[str, Any], signs: Collection[str]) -> dict[str, dict[str, float]]:
    """Return by cause, and as ``background``, the measured chance of each sign."""
    _whole(LIKELIHOODS, "version", table.get("version"))
    found = {key: value for key, value in table.items() if key != "version"}
    found.setdefault("background", {})
    for name, chances in found.items():
        for sign, chance in chances.items():
            if sign not in signs:
                raise PlaybookError(LIKELIHOODS, f"{name}.{sign}", f"{SIGNS} has no such sign.")
            _share(LIKELIHOODS, f"{name}.{sign}", chance)
    return found


def _share(file: str, place: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise PlaybookError(file, place, f"must be a share between 0 and 1, not {value!r}.")


def _whole(file: str, place: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise PlaybookError(file, place, f"must be a whole number from 1, not {value!r}.")
    return value


def _keys(file: str, place: str, said: Mapping[str, Any], allowed: Collection[str]) -> None:
    unknown = sorted(set(said) - set(allowed))
    if unknown:
        raise PlaybookError(file, place, f"does not know {unknown[0]!r}.")


def _text(
    file: str, place: str, said: Mapping[str, Any], key: str, default: str | None = None
) -> str:
    value = said.get(key, default)
    if not isinstance(value, str) or (not value and default is None):
        raise PlaybookError(file, place, f"{key} must be a text, not {value!r}.")
    return value
