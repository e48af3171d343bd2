"""What judges a planted bug: commands of the lab, run on the copy that has the bug.

A command that ends with another status than 0 has noticed; one that takes far more
processor time than on the clean code has noticed too, for a box that hangs is a bug.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.errors import MutantError
from oleada_lab.mutants import copies
from oleada_lab.sweep.story import STORIES

PATIENCE_CPU_S: Final = 20
CPU_FACTOR: Final = 4
WALL_FACTOR: Final = 20
SAID_CHARS_MAX: Final = 200
_DOES_NOT_RUN: Final = re.compile(r"^(?:ImportError|ModuleNotFoundError|SyntaxError|NameError)\b")


@dataclass(frozen=True, slots=True)
class Oracle:
    """One command of the lab.

    Attributes:
        words: Come behind ``python``; paths are relative to the copy.
        runs: Beginnings of the files whose code it runs; another bug is not shown to it.
    """

    name: str
    words: tuple[str, ...]
    runs: tuple[str, ...] = ("",)

    def runs_any(self, files: Iterable[str]) -> bool:
        """Return whether it runs the code of one of *files*."""
        return any(file.startswith(self.runs) for file in files)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a command said of a copy.

    Attributes:
        noticed: That something is wrong.
        said: The last line of what it printed.
    """

    noticed: bool
    said: str
    cpu_s: float


def known(root: Path) -> list[Oracle]:
    """Return the oracles of the lab under *root*: each sweep of power cuts, and each story."""
    sweep = ("-m", "oleada_lab", "sweep", "power", "--failures-max", "1", "--double", "none")
    found = [Oracle(f"sweep {name}", (*sweep, "--story", name), ("agent/",)) for name in STORIES]
    for path in sorted(root.glob("lab/scenarios/*.toml")):
        words = ("-m", "oleada_lab", "play", str(path.relative_to(root)))
        found.append(Oracle(f"story {path.stem}", words))
    return found


def ask(oracle: Oracle, copy: Path, clean_cpu_s: float | None = None) -> Judgement:
    """Return what *oracle* says of the packages in *copy*.

    Args:
        clean_cpu_s: What it takes on the clean code; None for no limit worth the name.

    Raises:
        MutantError: the copy does not even run, which proves nothing.
    """
    cpu_s = 3600 if clean_cpu_s is None else int(PATIENCE_CPU_S + CPU_FACTOR * clean_cpu_s)
    limits = ("prlimit", f"--cpu={cpu_s}", "timeout", "-s", "KILL", str(WALL_FACTOR * cpu_s))
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*limits, sys.executable, *oracle.words],
            cwd=copy,
            env=copies.environment(copy),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().decode(errors="replace").split("\n")
    spent_s = round(used.ru_utime + used.ru_stime, 2)
    if process.returncode == 0:
        return Judgement(False, "", spent_s)
    if broken := next(filter(_DOES_NOT_RUN.match, reversed(lines)), None):
        raise MutantError(f"The bug keeps the code from running at all: {broken}")
    return Judgement(True, _last_word(lines), spent_s)


def _last_word(lines: Sequence[str]) -> str:
    """Return the first thing that is wrong, else the last line with anything in it."""
    wrong = [line for line in lines if line.startswith("wrong: ")]
    found = wrong[:1] or [line for line in lines if line.strip()][-1:] or ["no word, but a status"]
    return found[0].strip()[:SAID_CHARS_MAX]
