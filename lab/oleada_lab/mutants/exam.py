"""The exam: plant each bug in a copy of its own, and ask the oracles until one notices."""

import ast
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oleada_lab.errors import MutantError
from oleada_lab.kept_lines import KeptLines
from oleada_lab.mutants import copies, generated, kept, oracles, patches
from oleada_lab.mutants.oracles import Oracle
from oleada_lab.mutation.mutants import mutated
from oleada_lab.mutation.survivors import Name

SHARE_KILLED_MIN: Final = 0.95
CLEAN_CPU_S_MAX: Final = 3600


@dataclass(frozen=True, slots=True)
class Bug:
    """One bug of the exam.

    Attributes:
        files: That it changes.
        lives: Why no oracle can notice it; "" when one must.
        plant: Plants it in the copy at a folder.
    """

    name: str
    what: str
    files: tuple[str, ...]
    lives: str
    plant: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one bug; *by* is the oracle that noticed, None when none did."""

    bug: Bug
    by: str | None
    said: str
    cpu_s: float


def bugs(root: Path, seed: int, explained: Mapping[Name, str]) -> list[Bug]:
    """Return every bug there is: those that people wrote, and those that *seed* draws.

    Args:
        explained: Why drawn mutants may live, by their names.

    Raises:
        MutantError: a patch or a source can not be read.
    """
    found = [
        Bug(one.name, one.what, one.files, one.lives, _patching(one))
        for one in patches.load(root / "lab" / "mutants")
    ]
    for one in generated.draw(root, seed):
        lives = explained.get(one.mutant.name, "")
        files = (one.mutant.file,)
        found.append(Bug(one.name, one.mutant.diff, files, lives, _mutating(one)))
    return found


def judge(
    root: Path,
    chosen: Sequence[Bug],
    asked: Sequence[Oracle],
    *,
    children: int,
    said: Callable[[Result], None],
    keep: Path | None = None,
) -> list[Result]:
    """Return what becomes of each bug, in their order.

    Of those *asked*, who has noticed most for the time it takes is asked first.

    Args:
        keep: Where judgements are kept when they are found: none is asked for twice while the
            bytes that it was made of are the same.

    Raises:
        MutantError: an oracle is not content with the clean code, a patch does not apply,
            or a bug keeps the code from running.
        LabError: *keep* can not be read or written.
    """
    lines = KeptLines(keep, "judged")
    with (
        tempfile.TemporaryDirectory(prefix="oleada-mutants-") as scratch,
        ThreadPoolExecutor(children) as pool,
    ):
        clean = Path(scratch) / "clean"
        copies.make(root, clean)
        times = _clean_times(asked, clean, lines)
        kills: Counter[str | None] = Counter()

        def examine(bug: Bug) -> Result:
            may = [one.name for one in asked if one.runs_any(bug.files)]
            may.sort(key=lambda name: times[name] / (kills[name] + 0.5))
            with _planted(bug, clean, Path(scratch) / bug.name) as copy:
                found = _examine(bug, copy, may, times, lines)
            kills[found.by] += 1
            said(found)
            return found

        return list(pool.map(examine, chosen))


def report(results: Sequence[Result]) -> dict[str, Any]:
    """Return the numbers, who noticed what, and what is wrong with it."""
    killed = [one for one in results if one.by is not None]
    left = [one.bug for one in results if one.by is None]
    share = len(killed) / len(results) if results else 0.0
    wrong = [f"{bug.name} lives, and nobody said why" for bug in left if not bug.lives]
    wrong += [f"{one.bug.name} is said to live, but {one.by} notices it"
              for one in killed if one.bug.lives]  # fmt: skip
    if share < SHARE_KILLED_MIN:
        wrong.append(f"{share:.1%} are killed, fewer than {SHARE_KILLED_MIN:.0%}")
    return {
        "mutants": len(results),
        "killed": len(killed),
        "share_killed": round(share, 4),
        "by": dict(Counter(one.by for one in killed).most_common()),
        "survivors": [{"name": bug.name, "what": bug.what, "why": bug.lives} for bug in left],
        "cpu_s": round(sum(one.cpu_s for one in results), 1),
        "results": [
            {"name": one.bug.name, "by": one.by, "said": one.said, "cpu_s": one.cpu_s}
            for one in results
        ],
        "wrong": wrong,
    }


@contextmanager
def _planted(bug: Bug, clean: Path, folder: Path) -> Iterator[Path]:
    """Give *folder*, a copy of *clean* that has *bug*; gone afterwards."""
    copies.make(clean, folder)
    try:
        bug.plant(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def _examine(
    bug: Bug, copy: Path, names: Sequence[str], times: Mapping[str, float], lines: KeptLines
) -> Result:
    clean_cpu_s = sum(times[name] for name in names)
    limit_s = int(oracles.PATIENCE_CPU_S + oracles.CPU_FACTOR * clean_cpu_s)
    try:
        found = kept.ask(names, copy, limit_s, lines)
    except MutantError as error:
        raise MutantError(f"{bug.name}: {error}") from error
    return Result(bug, found.by, found.said, found.cpu_s)


def _clean_times(asked: Sequence[Oracle], clean: Path, lines: KeptLines) -> dict[str, float]:
    """Return what each oracle takes on the clean code, in seconds of the processor."""
    names = [one.name for one in asked]
    found = kept.ask(names, clean, CLEAN_CPU_S_MAX, lines)
    if found.by is not None:
        raise MutantError(
            f"{found.by} is not content with the code as it is, so it can judge no bug: "
            f"{found.said}"
        )
    return found.took_s


def _patching(patch: patches.Patch) -> Callable[[Path], None]:
    return lambda folder: patches.apply(patch, folder)


def _mutating(drawn: generated.Drawn) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / drawn.mutant.file
        path.write_text(ast.unparse(mutated(path.read_text(), drawn.mutant)))

    return plant
