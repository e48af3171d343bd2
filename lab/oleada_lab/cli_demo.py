"""``oleada-lab demo``: what ``make run`` starts."""

import argparse
from typing import Any

from oleada_lab import demo
from oleada_lab.options import folder


def add_commands(commands: Any) -> None:
    """Add ``demo`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "demo", help="a small operator with twelve boxes and a rollout that moves"
    )
    found.add_argument("--var", type=folder, default=demo.VAR, help="folder for all that changes")
    found.add_argument("--fresh", action="store_true", help="begin anew; what is there goes")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return demo.run(options.var, fresh=options.fresh, say=_say)


def _say(line: str) -> None:
    print(line, flush=True)
