"""A sweep of the code with one of the bugs of ``lab/mutants`` in it, in a process of its own."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from oleada_lab.bench.report import ROOT
from oleada_lab.errors import LabError
from oleada_lab.mutants import copies, patches

FOLDER = ROOT / "lab/mutants"


def names() -> list[str]:
    """Return the names of the bugs that are patches."""
    return [patch.name for patch in patches.load(FOLDER)]


def run(name: str, words: Sequence[str]) -> int:
    """Return the exit code of ``oleada-lab`` *words* over a throw-away copy with bug *name*.

    Raises:
        LabError: there is no such bug, or it does not apply any more.
    """
    found = [patch for patch in patches.load(FOLDER) if patch.name == name]
    if not found:
        raise LabError(f"There is no bug {name}; lab/mutants holds {', '.join(names())}.")
    with TemporaryDirectory(prefix="oleada-mutant-") as folder:
        copy = Path(folder) / "copy"
        copy.mkdir()
        copies.make(ROOT, copy)
        patches.apply(found[0], copy)
        done = subprocess.run(
            [sys.executable, "-m", "oleada_lab", *words],
            cwd=copy,
            env=copies.environment(copy),
            check=False,
        )
    return done.returncode
