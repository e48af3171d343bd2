"""``oleada-lab storm``: everybody at once, one box without end, everything twice."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clock import now_utc
from oleada_lab.errors import LabError
from oleada_lab.options import whole
from oleada_lab.storm import first_contacts, flood, reconnects, reports, wrong_tokens
from oleada_lab.storm.ground import DATABASES, Ground, ground

SEED: Final = 20_261_121
SCHEMA: Final = "lab.storm/1"
Storm = Callable[[Ground, int, int], dict[str, Any]]
STORMS: Final[dict[str, tuple[Storm, int, str]]] = {
    "first_contacts": (first_contacts.run, 1_000, "new boxes that enrol and say hello at once"),
    "wrong_tokens": (wrong_tokens.run, 2_000, "wrong claim tokens beside honest boxes"),
    "reports": (reports.run, 10_000, "reports at once, of half of the boxes twice and shuffled"),
    "flood": (flood.run, 10_000, "messages of one box as fast as it can"),
    "reconnects": (reconnects.run, 10_000, "boxes that come back at once"),
}
"""In this order, on one server; each with its usual size."""


def add_commands(commands: Any) -> None:
    """Add ``storm`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("storm", help="everybody at once against a real server")
    for name, (_, size, says) in STORMS.items():
        found.add_argument(
            f"--{name.replace('_', '-')}",
            type=whole(0),
            metavar="N",
            help=f"{says}; {size} unless a storm is named, 0 for none",
        )
    found.add_argument("--seed", type=int, default=SEED, help="of ids, orders and pauses")
    found.add_argument("--database", choices=DATABASES, default=DATABASES[0])
    found.add_argument("--json", action="store_true", help="print everything as JSON too")
    found.set_defaults(run=_run)


def sizes(asked: dict[str, int | None]) -> dict[str, int]:
    """Return the size of each storm to run; every one at its usual size if none is *asked* for."""
    if not any(size is not None for size in asked.values()):
        return {name: size for name, (_, size, _) in STORMS.items()}
    return {name: size for name in STORMS if (size := asked[name])}


def _run(options: argparse.Namespace) -> int:
    results: dict[str, dict[str, Any]] = {}
    with (
        tempfile.TemporaryDirectory(prefix="oleada-storm-") as home,
        ground(Path(home), options.database, {}) as place,
    ):
        for name, size in sizes({name: getattr(options, name) for name in STORMS}).items():
            results[name] = _one(STORMS[name][0], place, size, options.seed)
            print(f"{name}: {json.dumps(results[name])}", file=sys.stderr, flush=True)
    report = {
        "schema": SCHEMA,
        "at": now_utc().isoformat(),
        **environment(options.seed, command_line()),
        "database": options.database,
        "results": results,
    }
    if options.json:
        print(json.dumps(report, indent=2))
    return 0 if all(one["met"] for one in results.values()) else 1


def _one(storm: Storm, place: Ground, size: int, seed: int) -> dict[str, Any]:
    """Return what *storm* found, or why it did not come to its end: the next one may."""
    try:
        return storm(place, size, seed)
    except LabError as error:
        return {"error": str(error), "met": False}
