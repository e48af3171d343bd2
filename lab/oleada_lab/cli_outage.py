"""``oleada-lab outage``: take away what Oleada stands on, and look whether it bends."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clock import now_utc
from oleada_lab.options import seconds
from oleada_lab.outages import run

SCHEMA: Final = "lab.outages/1"
OUTAGE_S: Final = 60.0
DATABASES: Final = ("sqlite", "postgresql")


def add_commands(commands: Any) -> None:
    """Add ``outage`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "outage", help="database away, disks full, clocks wrong, certificates expired"
    )
    found.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(run.NAMES)}; all without one"
    )
    found.add_argument(
        "--seconds",
        type=seconds(0, 3600),
        default=OUTAGE_S,
        help="of each outage; default: %(default)s",
    )
    found.add_argument("--database", choices=DATABASES, default="sqlite")
    found.add_argument("--json", action="store_true", help="print every claim, as JSON")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    """Return 0 when every claim holds, 1 when one does not, 2 for an unknown name."""
    unknown = [name for name in options.names if name not in run.NAMES]
    if unknown:
        print(
            f"oleada-lab: there is no outage {unknown[0]!r}; there are {', '.join(run.NAMES)}.",
            file=sys.stderr,
        )
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="oleada-outage-"))
    home.chmod(0o755)  # PostgreSQL's user must reach its cluster
    at = now_utc()
    try:
        names = options.names or run.NAMES
        found = run.run(home, names, options.seconds, options.database, _say)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    broken = sum(not row["holds"] for rows in found.values() for row in rows)
    if options.json:
        told = {
            "schema": SCHEMA,
            "at": at.isoformat(),
            **environment(0, command_line()),
            "database": options.database,
            "outage_s": options.seconds,
            "broken": broken,
            "outages": found,
        }
        print(json.dumps(told, indent=2))
    else:
        claims = sum(len(rows) for rows in found.values())
        print(f"{claims - broken} of {claims} claims hold.")
    return 1 if broken else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
