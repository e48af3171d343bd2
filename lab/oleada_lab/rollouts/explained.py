"""Why turning a sign of the core changes nothing that anybody could see: ``lab/signs.toml``.

``[[sign]]`` has ``name`` (as the command prints it) and ``why``. A sign is named by what it
becomes, not by its line, so an explanation holds until that code changes.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from oleada_lab.errors import LabError

SIGNS: Final = Path(__file__).resolve().parents[2] / "signs.toml"


def load(path: Path = SIGNS) -> dict[str, str]:
    """Return why each explained sign may turn unnoticed, by its name.

    Raises:
        LabError: *path* is not such a file, or explains a sign twice or with no word.
    """
    try:
        rows: list[dict[str, Any]] = tomllib.loads(path.read_text()).get("sign", [])
        found = {str(row["name"]): str(row["why"]).strip() for row in rows}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise LabError(f"{path} holds no explanations of signs: {error!r}.") from error
    if len(found) != len(rows) or not all(found.values()):
        raise LabError(f"{path} explains a sign twice, or without saying why.")
    return found


def stale(explained: Iterable[str], noticed_by: Mapping[str, str | None]) -> list[str]:
    """Return which explanations are none: of a sign that a row notices, or that is not there.

    Args:
        noticed_by: The row that notices each sign of the core, by its name.
    """
    found = []
    for name in explained:
        if name not in noticed_by:
            found.append(f"{name}: there is no such sign")
        elif (row := noticed_by[name]) is not None:
            found.append(f"{name}: noticed by {row!r}")
    return found
