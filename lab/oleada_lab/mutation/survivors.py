"""What people have said of mutants that no test kills, and whether all of it is still true.

``[[survivor]]`` has ``file``, ``function`` ("" at the level of a module), ``operator``,
``diff`` (as the command prints them) and ``why`` the fault changes nothing that anybody
could see: each mutant has a reason of its own.
A mutant is named by what it changes, not by its line number, so an explanation holds
until its code changes.
"""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from oleada_lab.errors import MutationError

Name = tuple[str, str, str, str]
"""File, function, operator and difference."""
SHARE_KILLED_MIN: Final = 0.9
"""Of the mutants of each module; explained ones do not count as killed."""
_Z_95: Final = 1.959964
"""Of the normal distribution: 95 % lie within so many deviations."""


def load(path: Path) -> dict[Name, str]:
    """Return why each explained mutant may live, by its name.

    Raises:
        MutationError: *path* is not such a file, or explains a mutant twice.
    """
    try:
        rows: list[dict[str, Any]] = tomllib.loads(path.read_text()).get("survivor", [])
        found = [(name_of_row(row), str(row["why"]).strip()) for row in rows]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise MutationError(f"{path} holds no explanations of survivors: {error!r}.") from error
    explained = dict(found)
    if len(explained) != len(found) or not all(explained.values()):
        raise MutationError(f"{path} explains a mutant twice, or without saying why.")
    return explained


def stale(
    explained: Iterable[Name], there_is: set[Name], killed: set[Name], *, is_whole: bool
) -> list[str]:
    """Return what is explained though no such mutant exists any more, or tests kill it.

    Unless the run *is_whole*, explanations of files of which nothing exists are not looked
    at: they were not asked for.
    """
    files = {name[0] for name in there_is}
    return [
        f"{name[0]}: {name[1] or 'module'}: {name[2]}: "
        + ("a test kills it" if name in there_is else "there is no such mutant")
        for name in explained
        if (is_whole or name[0] in files) and name not in there_is - killed
    ]


def report(verdicts: Iterable[Mapping[str, Any]], explained: Mapping[Name, str]) -> dict[str, Any]:
    """Return numbers per file: mutants, killed, timeouts (both count), survivors and shares.

    Args:
        verdicts: Each with the fields of a mutant, ``status`` and ``by``.
    """
    found: dict[str, Any] = {}
    for verdict in verdicts:
        of_file = found.setdefault(
            verdict["file"], {"mutants": 0, "killed": 0, "timeouts": 0, "survivors": []}
        )
        of_file["mutants"] += 1
        of_file["killed"] += verdict["status"] != "survived"
        of_file["timeouts"] += verdict["status"] == "timeout"
        if verdict["status"] == "survived":
            survivor = {
                "at": f"{verdict['file']}:{verdict['line']}",
                "function": verdict["function"],
                "operator": verdict["operator"],
                "diff": verdict["diff"],
                "why": explained.get(name_of_row(verdict)),
            }
            of_file["survivors"].append(survivor)
    for of_file in found.values():
        killed, mutants = of_file["killed"], of_file["mutants"]
        of_file["share_killed"] = round(killed / mutants, 4)
        of_file["wilson_95"] = wilson(killed, mutants)
    return found


def below_floor(modules: Mapping[str, Mapping[str, Any]], *, is_sample: bool) -> list[str]:
    """Return which modules have less than :data:`SHARE_KILLED_MIN` of their mutants killed.

    A sample that is small enough to be so by chance (the share may as well be above, with
    95 %) proves nothing.
    """
    return [
        f"{file}: {of['killed']} of {of['mutants']} are killed, fewer than {SHARE_KILLED_MIN:.0%}"
        for file, of in modules.items()
        if (of["wilson_95"][1] if is_sample else of["share_killed"]) < SHARE_KILLED_MIN
    ]


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the interval (0 to 1) in which the share lies with 95 %; after E. B. Wilson, 1927."""
    if not trials:
        return 0.0, 1.0
    share, square = hits / trials, _Z_95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    width = math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    width *= _Z_95 / (1 + square / trials)
    return round(max(0.0, middle - width), 4), round(min(1.0, middle + width), 4)


def name_of_row(row: Mapping[str, Any]) -> Name:
    """Return the name of the mutant that a verdict speaks of."""
    return name_of([row["file"], row["function"], row["operator"], row["diff"]])


def name_of(parts: Sequence[object]) -> Name:
    """Return the name that came out of JSON as four *parts*."""
    file, function, operator, diff = map(str, parts)
    return file, function, operator, diff.strip("\n")
