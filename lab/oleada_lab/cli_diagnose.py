"""``oleada-lab diagnose``: how well the playbooks name the faults of homes that they never saw."""

import argparse
import json
from typing import Any, Final

from oleada_server.diagnosis import reading

from oleada_lab.diagnosis import measure
from oleada_lab.options import whole

FIT_CASES: Final = 4000
FIT_HOMES: Final = 3000
CASES: Final = 1000
BOX_DAYS: Final = 1000
_JUDGED_FROM: Final = 1_000_001
"""Odd seeds from here on judge; healthy days from here on too."""


def add_commands(commands: Any) -> None:
    """Add ``diagnose`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "diagnose", help="precision and recall of the playbooks on labelled faults"
    )
    found.add_argument("--cases", type=whole(1), default=CASES, help=f"to judge ({CASES})")
    found.add_argument(
        "--box-days", type=whole(1), default=BOX_DAYS, help=f"of healthy homes ({BOX_DAYS})"
    )
    found.add_argument(
        "--fit", action="store_true", help="measure likelihoods.toml anew on the even seeds"
    )
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.fit:
        (reading.HOME / reading.LIKELIHOODS).write_text(fitted(), "utf-8")
        reading.library.cache_clear()
    library = reading.library()
    seeds = range(_JUDGED_FROM, _JUDGED_FROM + 2 * options.cases, 2)
    days = range(_JUDGED_FROM, _JUDGED_FROM + options.box_days)
    found = {
        "faults": measure.judge_cases(library, seeds),
        "healthy": measure.false_alarms(library, days),
    }
    print(json.dumps(found, indent=2) if options.json else _told(found))
    return 0


def fitted(cases: int = FIT_CASES, homes: int = FIT_HOMES) -> str:
    """Return ``likelihoods.toml`` as *cases* even seeds and *homes* healthy homes teach it."""
    files = {path.name: path.read_text("utf-8") for path in reading.HOME.glob("*.toml")}
    # What was measured before may name signs that are gone; it teaches nothing here.
    library = reading.read({**files, reading.LIKELIHOODS: measure.spelt({}, 0, 0)})
    return measure.spelt(measure.fit(library, range(0, 2 * cases, 2), range(homes)), cases, homes)


def _told(found: dict[str, Any]) -> str:
    faults, healthy = found["faults"], found["healthy"]
    lines = [
        f"{faults['cases']} cases, {faults['with_two_faults']} of them with two faults, "
        f"{faults['checks_mean']} checks each"
    ]
    for name in ("at_once", "checked", "two_faults"):
        one = faults.get(name)
        if one:
            lines.append(
                f"  {name:10} precision {one['precision']}  recall {one['recall']}  "
                f"first is right {one['first_is_right']}"
            )
    lines.append(f"{healthy['box_days']} healthy box-days: {healthy['incidents']} incidents")
    return "\n".join(lines)
