"""``oleada-lab play``: play stories in virtual time; exit 1 when one ends wrongly."""

import argparse
import sys
from pathlib import Path
from typing import Any

from oleada_lab import scenario, stories


def add_commands(commands: Any) -> None:
    """Add ``play`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("play", help="play a story in virtual time")
    found.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scenarios (TOML)")
    found.add_argument("--seed", type=int, help="instead of the scenario's own")
    found.add_argument("--options", action="store_true", help="print every option too")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    endings = [_play(path, options.seed, options.options) for path in options.files]
    return 0 if all(endings) else 1


def _play(path: Path, seed: int | None, with_options: bool) -> bool:
    story = scenario.load(path)
    used = story.seed if seed is None else seed
    print(f"{story.name}, seed {used}, scenario {story.sha256[:12]}: {story.story}")
    if with_options:
        print(story.spelt())
    ending = stories.play(story, used)
    for line in ending.lines:
        print(line)
    print(f"trace {ending.trace_hash}")
    for wrong in ending.wrong:
        print(f"wrong: {wrong}", file=sys.stderr)
    print("ends as expected" if not ending.wrong else "ENDS WRONGLY")
    return not ending.wrong
