"""``oleada-lab run``: play stories with many seeds, and judge each."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from oleada_lab import running, scenario
from oleada_lab.errors import LabError
from oleada_lab.options import to_write, whole
from oleada_lab.proc import playing
from oleada_lab.scenario_read import ScenarioError

TWICE: Final = "each seed also under another PYTHONHASHSEED; traces must be equal"
CANARY: Final = "let an order depend on PYTHONHASHSEED, which --twice must catch"

SERVER: Final = "services: the real ones, signed; rows: in memory, unsigned; or as a story says"
KEPT: Final = "add runs that went well there, and go on from it while code and story are the same"
LEVEL: Final = "sim: virtual time; proc: a real server, real boxes and real faults"
KEEP: Final = "leave the folder of each run of real processes; that of a failure always stays"
SCENARIOS: Final = Path("lab/scenarios")
OF_LEVEL: Final = {"sim": ("kept", "server", "twice", "plant_canary"), "proc": ("keep",)}
"""Options that the other level knows nothing of."""


def add_commands(commands: Any) -> None:
    """Add ``run`` to *commands*, an argparse action of sub-parsers."""
    many = commands.add_parser("run", help="play scenarios with many seeds, and judge each")
    many.add_argument("files", nargs="*", type=Path, metavar="FILE", help="scenarios (TOML)")
    many.add_argument("--level", choices=("sim", "proc"), default="sim", help=LEVEL)
    many.add_argument("--all", action="store_true", help="every scenario that has this level")
    many.add_argument("--keep", action="store_true", help=KEEP)
    many.add_argument("--seed", metavar="N[..M]", help="instead of the scenario's own")
    many.add_argument(
        "-j", "--jobs", type=whole(1, 64), default=1, dest="children", help="processes at a time"
    )
    many.add_argument("--kept", type=to_write, metavar="FILE", help=KEPT)
    many.add_argument("--server", choices=(scenario.SERVICES, scenario.ROWS), help=SERVER)
    many.add_argument("--twice", action="store_true", help=TWICE)
    many.add_argument("--plant-canary", action="store_true", help=CANARY)
    many.add_argument("--json", action="store_true", help="print JSON alone")
    many.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    for level, names in OF_LEVEL.items():
        idle = [name for name in names if getattr(options, name) and options.level != level]
        if idle:
            raise LabError(f"--{idle[0].replace('_', '-')} needs --level {level}.")
    files = _chosen(options)
    if options.level == "proc":
        return _run_real(files, options)
    seeds = scenario.seeds_of(options.seed) if options.seed else None
    wanted = [
        running.Wanted(path, seed, options.plant_canary, options.server or "")
        for path in files
        for seed in (seeds if seeds is not None else scenario.load(path).seeds)
    ]
    runs = running.run_all(
        wanted, options.children, twice=options.twice, said=_tell, kept=options.kept
    )
    failed = [run for run in runs if run["wrong"]]
    if options.json:
        print(json.dumps({"runs": runs, "failed": len(failed)}, indent=2))
        return 1 if failed else 0
    for run in failed:
        print(running.told(run))
    print(f"{len(runs) - len(failed)} of {len(runs)} runs are well")
    return 1 if failed else 0


def _tell(run: dict[str, Any]) -> None:
    """Say at once what became of a run; apart from JSON, which comes when all have ended."""
    became = "ok" if not run["wrong"] else "FAILED"
    print(
        f"{run['scenario']} seed {run['seed']}: {became}, {run['server']}, "
        f"trace {run['trace'][:16]}, {run['events']} events, {run['cpu_s']} CPU s",
        file=sys.stderr,
        flush=True,
    )


def _run_real(files: list[Path], options: argparse.Namespace) -> int:
    """Play *files* with real processes, one seed each; print what became of them."""
    seeds = scenario.seeds_of(options.seed) if options.seed else None
    wanted = [
        playing.Wanted(path, seed, options.keep)
        for path in files
        for seed in (seeds if seeds is not None else scenario.load(path).seeds[:1])
    ]
    say = _quiet if options.json or options.children > 1 else print
    runs = playing.run_all(wanted, options.children, say)
    failed = [run for run in runs if run["wrong"]]
    if options.json:
        print(json.dumps({"runs": runs, "failed": len(failed)}, indent=2))
        return 1 if failed else 0
    for run in runs:
        print(playing.line(run))
    for run in failed:
        print(playing.told(run))
    print(f"{len(runs) - len(failed)} of {len(runs)} runs are well")
    return 1 if failed else 0


def _quiet(_line: str) -> None:
    """Say nothing."""


def _chosen(options: argparse.Namespace) -> list[Path]:
    """Return the files that were named, or with --all those that have the level.

    Raises:
        ScenarioError: Nothing was named, or something has no such level.
    """
    found: list[Path] = list(options.files)
    if options.all:
        every = sorted(SCENARIOS.glob("*.toml"))
        found += [path for path in every if options.level in scenario.load(path).level]
    if not found:
        raise ScenarioError("No scenario is named; name files, or --all in the source folder.")
    for path in found:
        if options.level not in scenario.load(path).level:
            raise ScenarioError(f"{path} has no level {options.level}; it says level = …")
    return found
