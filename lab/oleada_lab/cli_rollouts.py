"""``oleada-lab rollouts``: how many boxes a bad release harms, under our planner and others."""

import argparse
import json
from dataclasses import replace
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.kept_lines import KeptLines
from oleada_lab.options import to_write, whole
from oleada_lab.rollouts import explained, signs, table

FAILED: Final = 1
KEPT: Final = "add each row, or sign, there, and go on from it while the code is the same"
SIGNS: Final = "turn every sign of the decision core round: which row notices?"
SIGNS_RUNS: Final = 3
SIGNS_PLAYED: Final = ("table", "plans", "edges", "exact")
"""Modules that play rows for signs alone."""


def add_commands(commands: Any) -> None:
    """Add ``rollouts`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "rollouts", help="how many boxes a bad release harms before it is stopped"
    )
    found.add_argument("--whole", action="store_true", help="50,000 boxes: a quarter of an hour")
    found.add_argument("--runs", type=whole(1), help="of each release (40, or 200)")
    found.add_argument("--good-runs", type=whole(1), help="of the one at p0 (40, or 2000)")
    found.add_argument("--seed", type=int, default=1, help="of the first run (1)")
    found.add_argument("--kept", type=to_write, metavar="FILE", help=KEPT)
    found.add_argument("--signs", action="store_true", help=SIGNS)
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    size = table.WHOLE if options.whole else table.SHORT
    size = replace(
        size, runs=options.runs or size.runs, good_runs=options.good_runs or size.good_runs
    )
    if options.signs:
        return _signs(options)
    found = table.measure(size, options.seed, KeptLines(options.kept, table.ROW))
    if options.json:
        print(json.dumps({**found, **environment(options.seed, _command(options))}, indent=2))
    else:
        print(f"{found['boxes']} boxes; harmed, the middle run of each:")
        for name, row in found["bad"].items():
            print(f"  {name}")
            for rule, cell in row.items():
                print(f"    {rule:32} {cell['harmed_median']:7} (95 %: {cell['harmed_p95']})")
        for name, row in found["good"].items():
            low, high = row["halted_share_95"]
            print(f"  {name}: {row['halted']} of {row['runs']} halted ({low:.2%} to {high:.2%})")
        for name, row in found["after"].items():
            halted = row["how"].get("halted", 0)
            print(f"  {name}: {halted} of {row['runs']} halted, {row['harmed_median']} bad hours")
    return 0


def _command(options: argparse.Namespace) -> list[str]:
    """Return how this was called; where rows are kept changes none of them."""
    kept = {"--kept", str(options.kept)}
    return [word for word in command_line() if word not in kept]


def _signs(options: argparse.Namespace) -> int:
    """Turn every sign of the core; what no row of the table notices must be explained."""
    runs = options.runs or SIGNS_RUNS
    whole = f"{runs} {options.seed} {table.digest(*SIGNS_PLAYED)}"
    kept = KeptLines(options.kept, signs.NOTICED)
    noticed_by = {}
    for sign, row in signs.judge(table.rows(runs, options.seed), signs.CORE, kept, whole):
        noticed_by[sign.name] = row
    reasons = explained.load()
    lives = [name for name, row in noticed_by.items() if row is None]
    found = {
        "signs": [{"sign": name, "row": row} for name, row in noticed_by.items()],
        "noticed": len(noticed_by) - len(lives),
        "explained": {name: reasons[name] for name in lives if name in reasons},
        "unexplained": [name for name in lives if name not in reasons],
        "stale": explained.stale(reasons, noticed_by),
    }
    if options.json:
        print(json.dumps({**found, **environment(options.seed, _command(options))}, indent=2))
    else:
        _tell_signs(found)
    return FAILED if found["unexplained"] or found["stale"] else 0


def _tell_signs(found: dict[str, Any]) -> None:
    print(f"{found['noticed']} of {len(found['signs'])} signs are noticed by a row")
    for name, why in found["explained"].items():
        print(f"  changes nothing: {name}\n    {why}")
    for name in found["unexplained"]:
        print(f"  UNNOTICED: {name}")
    for name in found["stale"]:
        print(f"  explained in vain: {name}")
