"""The agent's log: lines on standard error, which the boot program keeps."""

import sys


def say(line: str) -> None:
    """Write *line* to the agent's log."""
    sys.stderr.write(f"oleada-agent: {line}\n")
    sys.stderr.flush()
