"""A file with a line for each finished piece of a long run, so that one that was cut off goes on.

A line is ``{"name": …, WHAT: …}`` in JSON: what names the piece with all that it depends on,
and what came of it. A line that was half written when the run was killed is passed over.
"""

import json
from pathlib import Path
from threading import Lock
from typing import Any, Final

from oleada_lab.errors import LabError

FIRST: Final = '{"name": "'


class KeptLines:
    """What is kept in *path*, or nothing and nowhere for None.

    Args:
        what: Is kept, such as ``run``; the key of its value.

    Raises:
        LabError: the file can not be read, or holds something else.
    """

    def __init__(self, path: Path | None, what: str) -> None:
        self._path = path
        self._what = what
        self._lock = Lock()
        self._found: dict[str, Any] = {}
        if path is not None and path.exists():
            self._read(path)

    def get(self, name: str) -> Any:
        """Return what came of the piece *name*; None when it is not kept."""
        return self._found.get(name)

    def add(self, name: str, value: Any) -> None:
        """Keep *value*, which can be JSON, for the piece *name*; threads may add at once.

        Raises:
            LabError: the file can not be written.
        """
        if self._path is None:
            return
        line = json.dumps({"name": name, self._what: value})
        try:
            with self._lock, self._path.open("a") as file:
                file.write(f"\n{line}")  # behind a line that was cut short, too
        except OSError as error:
            raise LabError(f"{self._path} can not be written: {error.strerror}.") from error

    def _read(self, path: Path) -> None:
        try:
            lines = path.read_text().splitlines()
        except (OSError, ValueError) as error:
            raise LabError(f"{path} can not be read: {error}.") from error
        for line in filter(None, lines):
            if not line.startswith(FIRST[: len(line)]):
                raise LabError(f"{path} keeps nothing of this command; name another file.")
            try:
                one = json.loads(line)
            except ValueError:  # of a run that was killed while it wrote
                continue
            if self._what not in one:
                raise LabError(f"{path} keeps no {self._what}; name another file.")
            self._found[one["name"]] = one[self._what]
