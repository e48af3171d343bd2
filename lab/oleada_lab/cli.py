"""``oleada-lab``: one command with a sub-command per tool of the lab.

Each module ``oleada_lab.cli_<name>`` offers ``add_commands(commands)``; nothing else
needs to be touched to add one.
"""

import argparse
import gc
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from oleada_server.errors import ServerError

import oleada_lab
from oleada_lab.errors import LabError


def parser(asked: str = "") -> argparse.ArgumentParser:
    """Return the parser with the commands of every ``cli_*`` module, or of ``cli_<asked>`` alone.

    All of them import half the house, which takes a second that one command does not need.
    """
    root = argparse.ArgumentParser(
        prog="oleada-lab", description="Build firmware, run boxes, play stories, measure."
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    found = sorted(module.name for module in pkgutil.iter_modules(oleada_lab.__path__))
    names = [name for name in found if name.startswith("cli_")]
    for name in [f"cli_{asked}"] if f"cli_{asked}" in names else names:
        importlib.import_module(f"oleada_lab.{name}").add_commands(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status (1 when it says why it can not go on)."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    gc.disable()  # imports leave no garbage, and looking for it is a sixth of a start
    try:
        known = parser(words[0] if words else "")
    finally:
        gc.enable()
    options = known.parse_args(words)
    try:
        status: int = options.run(options)
    except (LabError, ServerError) as error:
        print(f"oleada-lab: {error}", file=sys.stderr)
        return 1
    return status
