"""``oleada-lab``: one command with a sub-command per tool of the lab.

Each module ``oleada_lab.cli_<name>`` offers ``add_commands(commands)``; nothing else
needs to be touched to add one.
"""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from oleada_server.errors import ServerError

import oleada_lab
from oleada_lab.errors import LabError


def parser() -> argparse.ArgumentParser:
    """Return the parser with the commands of every ``cli_*`` module."""
    root = argparse.ArgumentParser(
        prog="oleada-lab", description="Build firmware, run boxes, play stories, measure."
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in sorted(pkgutil.iter_modules(oleada_lab.__path__), key=lambda found: found.name):
        if module.name.startswith("cli_"):
            importlib.import_module(f"oleada_lab.{module.name}").add_commands(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (1 when it says why it can not go on)."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (LabError, ServerError) as error:
        print(f"oleada-lab: {error}", file=sys.stderr)
        return 1
    return status
