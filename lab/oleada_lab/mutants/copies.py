"""A throw-away copy of the packages, so that a bug is never planted where people work."""

import os
import shutil
from pathlib import Path
from typing import Final

PACKAGES: Final = ("agent", "firmware_store", "server", "lab")


def make(root: Path, folder: Path) -> None:
    """Copy the packages under *root* into *folder*, which is not there yet."""
    for name in PACKAGES:
        shutil.copytree(root / name, folder / name)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment in which a process runs the copy in *folder*, and only it."""
    found = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found["PYTHONPATH"] = os.pathsep.join(str(folder / name) for name in PACKAGES)
    return found
