"""The bugs that people wrote: small unified patches with a head of plain words.

The first paragraph of the head says what is wrong. A paragraph that begins with
``Lives:`` says why the lab can not notice it; a bug without one must be killed.
"""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.errors import MutantError

LIVES: Final = "Lives:"
_TOUCHED: Final = re.compile(r"^--- a/(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Patch:
    """One bug.

    Attributes:
        name: Of its file, without the ending.
        what: Is wrong with it, in words.
        files: That it changes, relative to the root.
        diff: What ``git apply`` takes.
        lives: Why the lab can not notice it; "" when it must.
    """

    name: str
    what: str
    files: tuple[str, ...]
    diff: str
    lives: str = ""


def load(folder: Path) -> list[Patch]:
    """Return every patch of *folder*, by name.

    Raises:
        MutantError: one can not be read, or says nothing.
    """
    found = [_read(path) for path in sorted(folder.glob("*.patch"))]
    if not found:
        raise MutantError(f"{folder} holds no *.patch; the planted bugs were expected there.")
    return found


def apply(patch: Patch, root: Path, *, only_check: bool = False) -> None:
    """Change the files under *root* as *patch* says; all of them or none.

    Raises:
        MutantError: it does not apply any more.
    """
    check = ["--check"] if only_check else []
    done = subprocess.run(
        ["git", "apply", *check, "-"],
        cwd=root,
        env={"GIT_CEILING_DIRECTORIES": str(root.parent), "PATH": "/usr/bin:/bin"},
        input=patch.diff,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MutantError(
            f"Mutant {patch.name} does not apply any more; write it anew for the code as it "
            f"is: {done.stderr.strip()}"
        )


def named(patches: Sequence[Patch], only: Sequence[str]) -> list[Patch]:
    """Return the patches whose names contain a word of *only*; all without."""
    return [patch for patch in patches if not only or any(word in patch.name for word in only)]


def _read(path: Path) -> Patch:
    try:
        text = path.read_text()
    except (OSError, ValueError) as error:
        raise MutantError(f"{path} can not be read: {error}.") from error
    head, mark, diff = text.partition("\n--- a/")
    paragraphs = [" ".join(part.split()) for part in head.split("\n\n") if part.strip()]
    if not mark or not paragraphs or paragraphs[0].startswith(LIVES):
        raise MutantError(f"{path} is no mutant: a head that says what is wrong, then a diff.")
    lives = [part.removeprefix(LIVES).strip() for part in paragraphs if part.startswith(LIVES)]
    diff = f"--- a/{diff}"
    return Patch(path.stem, paragraphs[0], tuple(_TOUCHED.findall(diff)), diff, " ".join(lives))
