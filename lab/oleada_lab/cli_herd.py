"""``oleada-lab herd``: a blackout, and whether the broker takes the return."""

import argparse
import json
from typing import Any

from oleada_agent.reconnect import CONNECT_SPREAD_S

from oleada_lab.herd import measure
from oleada_lab.herd.play import Herd, play
from oleada_lab.options import whole


def add_commands(commands: Any) -> None:
    """Add ``herd`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser("herd", help="let all boxes come back after a blackout")
    found.add_argument("--devices", type=whole(1), default=10_000, help="boxes")
    found.add_argument(
        "--return-s", type=whole(0, 86_400), default=60, help="from the first to the last power"
    )
    found.add_argument(
        "--spread-s",
        type=whole(0, 86_400),
        default=CONNECT_SPREAD_S,
        help="connect_spread_s of the boxes",
    )
    found.add_argument(
        "--broker-rate",
        type=whole(1),
        metavar="PER_S",
        help="connections a second the broker takes; measured here when left out",
    )
    found.add_argument("--seed", type=int, default=1, help="of every draw")
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    rate = options.broker_rate or measure.broker_per_s()
    herd = Herd(options.devices, rate, options.spread_s, options.return_s * 1000, options.seed)
    found = play(herd) | {"broker_rate_is": "given" if options.broker_rate else "measured here"}
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print(
            f"{found['back']} of {found['devices']} boxes are back after {found['all_back_s']} s; "
            f"{found['peak_per_s']} connections in the worst second of {rate} that the broker "
            f"takes ({found['broker_rate_is']}), {found['refused']} refused"
        )
        for wrong in found["wrong"]:
            print(f"wrong: {wrong}")
    return 0 if found["met"] else 1
