"""``oleada-lab rollouts``: how many boxes a bad release harms, under our planner and others."""

import argparse
import json
from dataclasses import replace
from typing import Any

from oleada_lab.options import whole
from oleada_lab.rollouts import table


def add_commands(commands: Any) -> None:
    """Add ``rollouts`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "rollouts", help="how many boxes a bad release harms before it is stopped"
    )
    found.add_argument("--whole", action="store_true", help="50,000 boxes: half an hour")
    found.add_argument("--runs", type=whole(1), help="of each release (40, or 200)")
    found.add_argument("--good-runs", type=whole(1), help="of the one at p0 (60, or 2000)")
    found.add_argument("--seed", type=int, default=1, help="of the first run (1)")
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    size = table.WHOLE if options.whole else table.SHORT
    size = replace(
        size, runs=options.runs or size.runs, good_runs=options.good_runs or size.good_runs
    )
    found = table.measure(size, options.seed)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{found['boxes']} boxes; harmed, the middle run of each:")
        for name, row in found["bad"].items():
            print(f"  {name}")
            for rule, cell in row.items():
                print(f"    {rule:32} {cell['harmed_median']:7} (95 %: {cell['harmed_p95']})")
        for name, row in found["good"].items():
            low, high = row["halted_share_95"]
            print(f"  {name}: {row['halted']} of {row['runs']} halted ({low:.2%} to {high:.2%})")
    return 0
