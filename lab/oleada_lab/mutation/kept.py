"""Verdicts of finished modules, kept in a folder: a run that was cut off goes on from there.

They count for the bytes that they were made of: when one file beside the mutated one or
beside its tests is another, the module is judged again.
"""

import hashlib
import json
from pathlib import Path, PurePath
from typing import Any

from oleada_lab.errors import MutationError
from oleada_lab.mutation.plan import Plan

Said = dict[str, Any]
"""What the process of one module has said in the end: ``{"verdicts", "names"}``."""


def digest(root: Path, plan: Plan, options: object) -> str:
    """Return the SHA-256 of what a verdict depends on: every file of the folders, and *options*.

    Raises:
        MutationError: a file can not be read.
    """
    named = {name for target in plan.targets for name in (target.file, *target.tests)}
    tops = {root / PurePath(name).parts[0] for name in named}
    found = hashlib.sha256(repr((plan, options)).encode())
    try:
        for path in sorted(file for top in tops for file in _files(top)):
            found.update(f"{path.relative_to(root)}\n".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise MutationError(f"{error.filename} can not be read: {error.strerror}.") from error
    return found.hexdigest()


def load(folder: Path | None, module: str, digested: str) -> Said | None:
    """Return what was said of *module*; None when nothing is kept of these bytes."""
    if folder is None:
        return None
    try:
        kept = json.loads((folder / f"{module}.json").read_text())
    except (OSError, ValueError):
        return None
    return kept["said"] if isinstance(kept, dict) and kept.get("digest") == digested else None


def store(folder: Path | None, module: str, digested: str, said: Said) -> None:
    """Keep what was *said* of *module*, whole or not at all.

    Raises:
        MutationError: the folder takes nothing.
    """
    if folder is None:
        return
    path = folder / f"{module}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps({"digest": digested, "said": said}))
        beside.replace(path)
    except OSError as error:
        raise MutationError(f"{path} can not be written: {error.strerror}.") from error


def _files(top: Path) -> list[Path]:
    if top.is_file():
        return [top]
    return [path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
