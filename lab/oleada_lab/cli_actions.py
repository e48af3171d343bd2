"""``oleada-lab actions``: every action of the table, done by a real box for a real server."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clinic import acting, hostile, running
from oleada_lab.clinic.ward import Ward


def add_commands(commands: Any) -> None:
    """Add ``actions`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "actions", help="let a real box do every action, look for secrets, and attack another one"
    )
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    running.demand_tools()
    with (
        tempfile.TemporaryDirectory(prefix="oleada-actions-") as home,
        Ward.open(Path(home)) as ward,
    ):
        found = {**acting.table(ward), "hostile": hostile.play(ward)}
    found["wrong"] += hostile.wrong(found["hostile"])
    found = {**environment(0, command_line()), **found}
    print(json.dumps(found, indent=2) if options.json else _told(found))
    return 1 if found["wrong"] else 0


def _told(found: dict[str, Any]) -> str:
    rows = [
        f"{name:16} {one['status']:10} {one['took_s']:6} s  {', '.join(one['files'])}"
        for name, one in found["actions"].items()
    ]
    rows += [f"{case}: {code}" for case, code in found["refused"].items()]
    rows += [f"{what}: {became}" for what, became in found["hostile"].items()]
    secrets = found["secrets"]
    rows.append(f"{secrets['planted']} secrets were planted, {len(secrets['found'])} came through")
    return "\n".join([*rows, *(found["wrong"] or ["everything is as it must be"])])
