"""``oleada-lab storm``: everybody at once, one box without end, everything twice."""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clock import now_utc
from oleada_lab.storm import first_contacts
from oleada_lab.storm.ground import DATABASES, Ground, ground

SEED: Final = 20_261_121
SCHEMA: Final = "lab.storm/1"


def add_commands(commands: Any) -> None:
    """Add ``storm`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("storm", help="everybody at once against a real server")
    found.add_argument("--first-contacts", type=int, metavar="N", help="new boxes at once")
    found.add_argument("--seed", type=int, default=SEED, help="of ids, orders and pauses")
    found.add_argument("--database", choices=DATABASES, default=DATABASES[0])
    found.add_argument("--json", action="store_true", help="print JSON and nothing else")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    storms: dict[str, Callable[[Ground], dict[str, Any]]] = {}
    if options.first_contacts:
        storms["first_contacts"] = lambda g: first_contacts.run(
            g, options.first_contacts, options.seed
        )
    results = {}
    with (
        tempfile.TemporaryDirectory(prefix="oleada-storm-") as home,
        ground(Path(home), options.database, {}) as place,
    ):
        for name, storm in storms.items():
            results[name] = storm(place)
    report = {
        "schema": SCHEMA,
        "at": now_utc().isoformat(),
        **environment(options.seed, command_line()),
        "database": options.database,
        "results": results,
    }
    print(json.dumps(report, indent=2))
    return 0 if all(one["met"] for one in results.values()) else 1
