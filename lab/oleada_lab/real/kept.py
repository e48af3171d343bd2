"""A file that keeps each cut when it is found, so that a sweep that was cut off goes on.

The first line says of which code the cuts are; each further line is one cut, and what
the run had spent by then. A line that was half written when the lab was killed is dropped.
Operations are known again by their names: another life of a box numbers them otherwise.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from oleada_lab.errors import LabError
from oleada_lab.real.cuts import Cut
from oleada_lab.real.verdict import Fate, Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

SCHEMA: Final = "lab.sweep-real-kept/1"
Key = tuple[str, str, str, str, bool]


class Keep:
    """The cuts that were found, now and by earlier runs.

    Args:
        path: Where they are kept; None keeps them in memory only.
        head: What must be the same for cuts to be put together: the commit, a planted bug.

    Attributes:
        cpu_s: What earlier runs have spent.
        wall_s: What they have taken.

    Raises:
        LabError: the file is of something else.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any]) -> None:
        self._found: dict[Key, tuple[str, Cut]] = {}
        self._path = path
        self.cpu_s = self.wall_s = 0.0
        if path is None:
            return
        first = {"schema": SCHEMA, **head}
        lines = _kept_in(path)
        if lines and lines[0] != first:
            raise LabError(f"{path} holds cuts of {lines[0]}, not of {first}; name another file.")
        self._read(lines[1:])
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines or [first]))

    def _read(self, lines: Sequence[Mapping[str, Any]]) -> None:
        for line in lines:
            self._take(line["kind"], _cut(line["cut"]))
            self.cpu_s, self.wall_s = line["cpu_s"], line["wall_s"]

    def add(self, kind: str, cut: Cut, *, cpu_s: float, wall_s: float) -> None:
        """Keep *cut*, and what this run had spent when it was found."""
        self._take(kind, cut)
        if self._path is None:
            return
        line = {
            "kind": kind,
            "cut": asdict(cut),
            "cpu_s": round(self.cpu_s + cpu_s, 2),
            "wall_s": round(self.wall_s + wall_s, 2),
        }
        with self._path.open("a") as file:
            file.write(f"{json.dumps(line)}\n")

    def has(self, kind: str, name: str, kept: Kept, fault: str = "", *, killed: bool) -> bool:
        """Return whether this cut was found."""
        return (kind, name, kept, fault, killed) in self._found

    def of(self, kind: str, numbers: Mapping[str, int] | None = None) -> list[Cut]:
        """Return the cuts of *kind*.

        Args:
            numbers: Of the operations by their names: no others are returned, and so numbered.
        """
        found = [cut for one, cut in self._found.values() if one == kind]
        if numbers is None:
            return found
        return [replace(cut, number=numbers[cut.name]) for cut in found if cut.name in numbers]

    def _take(self, kind: str, cut: Cut) -> None:
        first = "" if cut.first is None else f"{cut.first.name} {cut.first.kept}, "
        name = first + cut.name
        self._found[kind, name, cut.kept, cut.fault, cut.is_killed] = kind, cut


def _kept_in(path: Path) -> list[Any]:
    """Return the lines of *path*; none when it is not there, or is empty.

    Raises:
        LabError: it can not be read, or is not one of ours, which must not be written over.
    """
    try:
        text = path.read_text() if path.exists() else ""
    except (OSError, ValueError) as error:
        raise LabError(f"{path} can not be read: {error}.") from error
    found = list(_lines(text))
    is_ours = bool(found) and isinstance(found[0], dict) and found[0].get("schema") == SCHEMA
    if text and not is_ours:
        raise LabError(f"{path} keeps no cuts; name another file.")
    return found


def _lines(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # the lab was killed while it wrote
            return


def _cut(found: Mapping[str, Any]) -> Cut:
    values = dict(found)
    after, verdict, first = (values.pop(name) for name in ("after", "verdict", "first"))
    return Cut(
        **{**values, "kept": Kept(values["kept"])},
        after=None if after is None else Op(*after),
        verdict=Verdict(Fate(verdict["fate"]), verdict["why"]),
        first=None if first is None else _cut(first),
    )
