"""``oleada-lab play``: tell stories, in virtual time."""

import argparse
import sys
from pathlib import Path
from typing import Any

from oleada_lab import scenario, stories
from oleada_lab.options import to_write


def add_commands(commands: Any) -> None:
    """Add ``play`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("play", help="play a story in virtual time")
    found.add_argument("files", nargs="+", type=Path, metavar="FILE", help="scenarios (TOML)")
    found.add_argument("--seed", type=int, help="instead of the scenario's own")
    found.add_argument("--options", action="store_true", help="print every option too")
    found.add_argument("--trace", type=to_write, metavar="FILE", help="write every step there")
    found.set_defaults(run=_play_all)


def _play_all(options: argparse.Namespace) -> int:
    endings = [_play(path, options) for path in options.files]
    return 0 if all(endings) else 1


def _play(path: Path, options: argparse.Namespace) -> bool:
    story = scenario.load(path)
    used = story.seeds[0] if options.seed is None else options.seed
    print(f"{story.name}, seed {used}, scenario {story.sha256[:12]}: {story.story}")
    if options.options:
        print(story.spelt())
    if options.trace is None:
        ending = stories.play(story, used)
    else:
        with options.trace.open("w") as keep:
            ending = stories.play(story, used, keep)
    for line in ending.lines:
        print(line)
    print(f"trace {ending.trace_hash}")
    for wrong in ending.wrong:
        print(f"wrong: {wrong}", file=sys.stderr)
    print("ends as expected" if not ending.wrong else "ENDS WRONGLY")
    return not ending.wrong
