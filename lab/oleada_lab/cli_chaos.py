"""``oleada-lab chaos``: kill everything in turn while real boxes are updated."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.chaos import run
from oleada_lab.clock import now_utc
from oleada_lab.options import whole

SCHEMA: Final = "lab.chaos/1"
SEED: Final = 20_261_121
DATABASES: Final = ("sqlite", "postgresql")


def add_commands(commands: Any) -> None:
    """Add ``chaos`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "chaos", help="kill every process in turn during real rollouts; look what is true"
    )
    found.add_argument("--kills", type=whole(1), default=200, help="default: %(default)s")
    found.add_argument("--seed", type=int, default=SEED, help="of the kills; default: %(default)s")
    found.add_argument("--devices", type=whole(1), default=20, help="default: %(default)s")
    found.add_argument("--kills-per-rollout", type=whole(1), default=8, help="default: %(default)s")
    found.add_argument(
        "--limit-s", type=whole(1), default=900, help="of one rollout; default: %(default)s"
    )
    found.add_argument("--database", choices=DATABASES, default="sqlite")
    found.add_argument("--only", default="", help="victims, such as web,broker; all without it")
    found.add_argument("--json", action="store_true", help="print every kill, as JSON")
    found.add_argument("--keep", action="store_true", help="leave the folder for a look at it")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    """Return 0 when nothing disagrees, 1 when something does."""
    plan = run.Plan(
        kills=options.kills,
        seed=options.seed,
        boxes=options.devices,
        database=options.database,
        only=tuple(one.strip() for one in options.only.split(",") if one.strip()),
        kills_per_rollout=options.kills_per_rollout,
        limit_s=options.limit_s,
    )
    _say(f"kills {', '.join(plan.victims)}")  # refused before anything starts
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
        signal.signal(number, signal.default_int_handler)
    home = Path(tempfile.mkdtemp(prefix="oleada-chaos-"))
    at = now_utc()
    try:
        result = run.run(home, plan, _say)
    finally:
        if not options.keep:
            shutil.rmtree(home, ignore_errors=True)
    if options.keep:
        _say(f"left in {home}")
    found = {
        "schema": SCHEMA,
        "at": at.isoformat(),
        **environment(plan.seed, command_line()),
        **run.described(plan),
        **result,
    }
    if not options.json:
        found.pop("moments")
    print(json.dumps(found, indent=2))
    return 1 if result["disagreements"] else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
