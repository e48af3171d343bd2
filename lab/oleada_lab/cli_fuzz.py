"""``oleada-lab fuzz``: damaged metadata, envelopes and messages, against what is trusted."""

import argparse
import json
from typing import Any

from oleada_lab.fuzz import run as runs
from oleada_lab.fuzz.trust import Tally, play
from oleada_lab.options import whole


def add_commands(commands: Any) -> None:
    """Add ``fuzz`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("fuzz", help="damage what a box reads; nothing may be trusted")
    found.add_argument("what", choices=("trust",), help="metadata, envelopes and messages")
    found.add_argument("--count", type=whole(1), default=20_000, help="cases (20 000)")
    found.add_argument("--seed", type=int, default=1, help="of every draw (1)")
    found.add_argument("--case", type=whole(0), help="play this case of the seed alone")
    found.add_argument("--jobs", type=whole(1, 64), default=1, help="processes (1)")
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.case is not None:
        tally = play(options.seed, [options.case])
    else:
        tally = runs.run(options.seed, options.count, options.jobs)
    met = runs.is_met(tally)
    if options.json:
        print(json.dumps({"seed": options.seed, **tally.to_json(), "met": met}, indent=2))
    else:
        _say(tally)
    return 0 if met else 1


def _say(tally: Tally) -> None:
    print(
        f"{tally.metadata} damaged sets of metadata: python-tuf and the box agree in "
        f"{sum(tally.same.values())}, the box is stricter in {sum(tally.stricter.values())}; "
        f"{sum(tally.refused_alone.values())} refused by the box were not compared."
    )
    print(
        f"{tally.messages} damaged messages: {sum(tally.refused.values())} refused, "
        f"{tally.unchanged} as they were signed."
    )
    print(f"Memory grew by {tally.grown_kib} KiB; {tally.cpu_s:.0f} s of processor time.")
    for failure in tally.failures[:20]:
        print(f"wrong: {failure}")
