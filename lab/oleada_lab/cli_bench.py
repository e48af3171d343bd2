"""``oleada-lab bench``: measure, print, and keep the numbers as JSON."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench import (
    assignment,
    diagnosis,
    engine,
    footprint,
    gateway,
    identity,
    pages,
    screen,
    signing,
    sim,
    traffic,
    trail,
)
from oleada_lab.bench.report import command_line, store
from oleada_lab.clock import now_utc
from oleada_lab.options import folder, seconds, whole

FOLDER: Final = Path("bench-results")
SEED: Final = 20_261_121
PARTS: Final = (
    "assignment",
    "bytes",
    "diagnosis",
    "engine",
    "gateway",
    "footprint",
    "identity",
    "pages",
    "screen",
    "signing",
    "sim",
    "trail",
)


def add_commands(commands: Any) -> None:
    """Add ``bench`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("bench", help="measure and store JSON under bench-results/")
    found.add_argument("--only", choices=PARTS, action="append", help="a part; repeatable")
    found.add_argument("--boxes", type=whole(1), default=assignment.BOXES, help="light boxes")
    found.add_argument(
        "--engine-boxes", type=whole(1000), default=engine.BOXES, help="boxes of one rollout"
    )
    found.add_argument(
        "--messages", type=whole(1), default=gateway.MESSAGES, help="health messages"
    )
    found.add_argument(
        "--assignments", type=whole(1), default=signing.COUNT, help="assignments to sign"
    )
    found.add_argument(
        "--sim-boxes", type=whole(1), default=sim.BOXES, help="boxes in virtual time"
    )
    found.add_argument("--entries", type=whole(1), default=trail.ENTRIES, help="of the audit trail")
    found.add_argument("--json", action="store_true", help="print the numbers as JSON alone")
    found.add_argument(
        "--idle-s", type=seconds(1, 86_400), default=footprint.WATCH_S, help="seconds watched"
    )
    found.add_argument("--seed", type=int, default=SEED, help="of the numbers in the messages")
    found.add_argument("--out", type=folder, default=FOLDER, help="folder for the JSON")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "assignment": lambda home: assignment.measure(home, options.boxes),
        "bytes": traffic.measure,
        "diagnosis": lambda home: diagnosis.measure(home, options.seed, options.boxes),
        "engine": lambda home: engine.measure(home, options.engine_boxes),
        "gateway": lambda home: gateway.measure(home, options.seed, options.messages),
        "footprint": lambda home: footprint.measure(home, options.idle_s),
        "identity": lambda home: identity.measure(home, options.seed),
        "pages": lambda home: pages.measure(home, options.seed),
        "screen": lambda home: screen.measure(home, options.seed),
        "signing": lambda _home: signing.measure(options.assignments),
        "sim": lambda _home: sim.measure(options.sim_boxes, options.seed),
        "trail": lambda home: trail.measure(home, options.entries),
    }
    results = {}
    for name in options.only or PARTS:
        print(f"{name} …", flush=True, file=sys.stderr if options.json else sys.stdout)
        with tempfile.TemporaryDirectory(prefix=f"oleada-bench-{name}-") as home:
            results[name] = parts[name](Path(home))
        if not options.json:
            print(json.dumps(results[name], indent=2), flush=True)
    path = store(results, options.out, now_utc(), options.seed, command_line())
    print(path.read_text().rstrip() if options.json else f"stored in {path}")
    return 0
