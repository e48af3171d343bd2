"""``oleada-lab sweep power --real``: choose what to cut, let it be cut, say what was found."""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.errors import LabError
from oleada_lab.options import to_write, whole
from oleada_lab.real import report, tools
from oleada_lab.real.kept import Keep
from oleada_lab.real.kinds import DOUBLE, JOBS, KILLED_EVERY, KINDS, Book, Choice, cpu_s
from oleada_lab.sim.crash import Kept
from oleada_lab.sweep.bugs import Bug

NEEDS: Final = {"strace": ("strace",), "faults-strace": ("strace", "loop")}
"""What of the machine a kind needs, by the names of ``oleada-lab doctor``; FUSE, where none."""
REAL: Final = ("kind", "at", "keep")
"""Options that only this sweep knows, and that have no value of their own."""
DOUBLE_WORDS: Final = {"none": 0, "sample": DOUBLE, "all": None}


def add_options(found: argparse.ArgumentParser) -> None:
    """Add what only the sweep with real processes knows."""
    real = found.add_argument_group("with real processes")
    real.add_argument(
        "--real", action="store_true", help="boot program and agent as processes, on real disks"
    )
    real.add_argument(
        "--kind", action="append", choices=sorted(KINDS), help="how to cut; repeatable (all)"
    )
    real.add_argument(
        "--every", type=whole(1), default=1, metavar="N", help="cut after each N-th operation only"
    )
    real.add_argument("--at", type=whole(1), metavar="N", help="cut after operation N only")
    real.add_argument(
        "--jobs", type=whole(1, 64), default=JOBS, help="boxes at a time (default: %(default)s)"
    )
    real.add_argument(
        "--killed", type=whole(0), default=KILLED_EVERY, metavar="N",
        help="kill a box in each N-th of them, beside the recorded one; 0: none (%(default)s)",
    )  # fmt: skip
    real.add_argument(
        "--keep", type=to_write, metavar="FILE",
        help="keep what is found in FILE; go on from what it holds",
    )  # fmt: skip


def run(options: argparse.Namespace, modes: Sequence[Kept], bug: Bug | None) -> int:
    """Sweep as *options* ask; return the exit code.

    Raises:
        LabError: a tool is missing, or the update fails without any cut.
    """
    kinds = options.kind or (["fuse"] if bug is not None else list(KINDS))
    if said := tools.missing(*{need for kind in kinds for need in NEEDS.get(kind, ("fuse",))}):
        raise LabError(said)
    choice = Choice(
        tuple(modes), options.every, options.at, options.jobs, bug, options.killed,
        _double(options.double), options.seed,
    )  # fmt: skip
    known = environment(options.seed, command_line())
    head = {"commit": known["commit"], "mutant": options.mutant, "seed": options.seed}
    book = Book(Keep(options.keep, head))
    swept = []
    with tempfile.TemporaryDirectory(prefix="oleada-real-") as home:
        for kind in kinds:
            swept.append(KINDS[kind](Path(home, kind), choice, book))
    found = {
        **report.to_json(swept, [str(kept) for kept in modes]),
        "wall_s": round(book.keep.wall_s + book.wall_s(), 1),
        "cpu_s": round(book.keep.cpu_s + cpu_s(), 1),
        **known,
    }
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(report.to_text(found))
    return 0 if report.is_well(found) else 1


def _double(asked: str) -> int | None:
    """Return how many recoveries to cut again; None for all."""
    return DOUBLE_WORDS[asked] if asked in DOUBLE_WORDS else int(asked)
