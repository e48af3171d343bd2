"""What judges a planted bug: sweeps and stories of the lab, run on the copy that has the bug.

One process asks them one after the other until one notices (``__main__``). One that ends
by itself has noticed, and so has one that takes far more processor time than on the clean
code, for a box that hangs is a bug.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from oleada_lab.errors import MutantError
from oleada_lab.mutants import copies
from oleada_lab.sweep.story import STORIES

SWEEP, STORY = "sweep ", "story "
"""How names of oracles begin; a story's goes on with its path, from the root of the copy."""
RESUME: Final = "resume"
SCHEDULERS: Final = "schedulers"
ASKED, TOOK, WRONG = "asked", "took", "wrong"
"""Lines of the process: ``[word, name, more]`` in JSON."""
PATIENCE_CPU_S: Final = 20
CPU_FACTOR: Final = 3
WALL_FACTOR: Final = 50
SAID_CHARS_MAX: Final = 200
DIES_TOO: Final = ("setpriv", "--pdeathsig", "KILL")
"""The kernel kills the program that follows when the thread ends that has started it."""
_DOES_NOT_RUN: Final = re.compile(r"^(?:ImportError|ModuleNotFoundError|SyntaxError|NameError)\b")


@dataclass(frozen=True, slots=True)
class Oracle:
    """One sweep or story.

    Attributes:
        runs: Beginnings of the files whose code it runs; another bug is not shown to it.
    """

    name: str
    runs: tuple[str, ...] = ("",)

    def runs_any(self, files: Iterable[str]) -> bool:
        """Return whether it runs the code of one of *files*."""
        return any(file.startswith(self.runs) for file in files)


@dataclass(slots=True)
class Judgement:
    """What became of one copy.

    Attributes:
        by: Name of the oracle that noticed; None when none did.
        said: What it noticed.
        cpu_s: Of the process.
        took_s: By name, of each oracle that noticed nothing.
    """

    by: str | None = None
    said: str = ""
    cpu_s: float = 0.0
    took_s: dict[str, float] = field(default_factory=dict)


def known(root: Path) -> list[Oracle]:
    """Return the oracles of the lab under *root*: each sweep, and each story."""
    sweeps = [Oracle(SWEEP + name, ("agent/",)) for name in STORIES]
    sweeps.append(Oracle(RESUME, ("agent/",)))
    sweeps.append(Oracle(SCHEDULERS, ("server/",)))
    paths = sorted(root.glob("lab/scenarios/*.toml"))
    return sweeps + [Oracle(f"{STORY}{path.relative_to(root)}") for path in paths]


def ask(
    names: Sequence[str], copy: Path, cpu_s_max: int, module: str = "oleada_lab.mutants"
) -> Judgement:
    """Return what the oracles *names*, in this order, say of the packages in *copy*.

    Args:
        cpu_s_max: Of the whole process.
        module: What is run.

    Raises:
        MutantError: the copy does not even run, which proves nothing.
    """
    wall_s = str(WALL_FACTOR * cpu_s_max)
    # Whoever is killed takes what it began along: the last word of each line starts the next.
    limits = (*DIES_TOO, "prlimit", f"--cpu={cpu_s_max}", "timeout", "-s", "KILL", wall_s,
              *DIES_TOO)  # fmt: skip
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*limits, sys.executable, "-m", module, json.dumps(list(names))],
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
    found = _read(lines, process.returncode)
    found.cpu_s = round(used.ru_utime + used.ru_stime, 2)
    return found


def _read(lines: Sequence[str], status: int) -> Judgement:
    found, asked = Judgement(), ""
    for word, name, more in map(json.loads, filter(_is_ours, lines)):
        asked = name
        if word == TOOK:
            found.took_s[name] = more
        elif word == WRONG:
            found.by, found.said = name, more
    if status == 0 or found.by is not None:
        return found
    if broken := next(filter(_DOES_NOT_RUN.match, reversed(lines)), None):
        raise MutantError(f"The bug keeps the code from running at all: {broken}")
    found.by = asked
    found.said = next((line for line in reversed(lines) if line.strip()), "")[:SAID_CHARS_MAX]
    if _is_ours(found.said):
        found.said = "it does not come to an end"
    return found


def _is_ours(line: str) -> bool:
    return line.startswith(tuple(f'["{word}"' for word in (ASKED, TOOK, WRONG)))
