"""What an image starts: the agent, with as little in memory as there can be."""

import sys

from oleada_agent import lean


def main() -> int:
    """Run the command of ``sys.argv``; returns the exit code."""
    if sys.argv[1:2] == ["run"]:
        lean.share_arenas()
        lean.defer()
    from oleada_agent.cli import main as run  # noqa: PLC0415 - what it imports is deferred first

    return run()
