"""``oleada-lab doctor``: what of the lab can be run on this machine, and what is missing."""

import argparse
import json
from typing import Any

from oleada_lab.real.tools import TOOLS, Found, examine


def add_commands(commands: Any) -> None:
    """Add ``doctor`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "doctor",
        help="say which tools of the lab this machine has",
        epilog="Exit codes: 0 everything works, 1 something is missing; its line says what for.",
    )
    found.add_argument("--json", action="store_true", help="for programs")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    found = examine(TOOLS)
    if options.json:
        print(json.dumps({"tools": [_entry(one) for one in found]}, indent=2))
    else:
        print("\n".join(line for one in found for line in lines(one)))
    return 0 if all(one.works for one in found) else 1


def lines(one: Found) -> list[str]:
    """Return what is said of one tool: a line when it works, three when it does not."""
    tool = one.tool
    if one.works:
        return [f"yes  {tool.name:<10}  {tool.used_for}"]
    need = " ('make test' needs it)" if tool.is_promised else ""
    return [
        f"NO   {tool.name:<10}  {tool.used_for}{need}",
        f"     {'':<10}  {one.missing}; type: {tool.install}",
        f"     {'':<10}  can not be run without it: {tool.without}",
    ]


def _entry(one: Found) -> dict[str, Any]:
    tool = one.tool
    return {
        "name": tool.name,
        "works": one.works,
        "missing": one.missing,
        "used_for": tool.used_for,
        "without": tool.without,
        "install": tool.install,
        "is_promised": tool.is_promised,
    }
