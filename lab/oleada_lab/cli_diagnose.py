"""``oleada-lab diagnose``: how well the playbooks name the faults of homes that they never saw."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

from oleada_server.diagnosis import reading

from oleada_lab.bench.report import command_line, environment
from oleada_lab.clinic import days, judging, running
from oleada_lab.clinic.cases import JUDGES_FROM, TEACHES_FROM, cases, well
from oleada_lab.clinic.faults import FAULTS
from oleada_lab.clock import monotonic_s
from oleada_lab.diagnosis import measure
from oleada_lab.errors import LabError
from oleada_lab.options import whole

FIT_CASES: Final = 4000
FIT_HOMES: Final = 3000
CASES: Final = 1000
REAL_CASES: Final = 2 * len(FAULTS)
REAL_WELL: Final = 8
BOX_DAYS: Final = 1000
_JUDGED_FROM: Final = 1_000_001
"""Odd seeds from here on judge; healthy days from here on too."""


def add_commands(commands: Any) -> None:
    """Add ``diagnose`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "diagnose", help="precision and recall of the playbooks on labelled faults"
    )
    found.add_argument(
        "--cases", type=whole(1), help=f"to judge ({CASES}; {REAL_CASES} of real boxes)"
    )
    found.add_argument(
        "--box-days", type=whole(1), default=BOX_DAYS, help=f"of healthy homes ({BOX_DAYS})"
    )
    found.add_argument(
        "--fit", action="store_true", help="measure likelihoods.toml anew on the even seeds"
    )
    found.add_argument(
        "--real", action="store_true", help="with real boxes, agents, broker and server"
    )
    found.add_argument(
        "--healthy", action="store_true",
        help="healthy days alone, as the agent's own senses read them hour by hour",
    )  # fmt: skip
    found.add_argument(
        "--taught", action="store_true", help="of real boxes: the seeds that may teach, not judge"
    )
    found.add_argument(
        "-j", "--beds", type=whole(1, 32), default=running.BEDS, help="real boxes at a time"
    )
    found.add_argument(
        "--fault", choices=sorted(FAULTS), metavar="NAME", action="append",
        help="of real boxes: only this one; repeatable",
    )  # fmt: skip
    found.add_argument("--json", action="store_true", help="print JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.real:
        return _run_real(options)
    if options.healthy:
        return _run_healthy(options)
    if options.fault or options.taught:
        raise LabError("--fault and --taught need --real.")
    if options.fit:
        (reading.HOME / reading.LIKELIHOODS).write_text(fitted(), "utf-8")
        reading.library.cache_clear()
    library = reading.library()
    seeds = range(_JUDGED_FROM, _JUDGED_FROM + 2 * (options.cases or CASES), 2)
    days = range(_JUDGED_FROM, _JUDGED_FROM + options.box_days)
    found = {
        "faults": measure.judge_cases(library, seeds),
        "healthy": measure.false_alarms(library, days),
    }
    print(json.dumps(found, indent=2) if options.json else _told(found))
    return 0


def _run_real(options: argparse.Namespace) -> int:
    """Live the labelled set with real boxes; healthy boxes among them."""
    first = TEACHES_FROM if options.taught else JUDGES_FROM
    sick = cases(options.cases or REAL_CASES, first, options.fault)
    healthy = [well(first + 2 * number) for number in range(0 if options.fault else REAL_WELL)]
    began_s = monotonic_s()
    with tempfile.TemporaryDirectory(prefix="oleada-clinic-") as home:
        ended = running.run(Path(home), [*sick, *healthy], options.beds, running.tell)
    found: dict[str, Any] = {
        **environment(first, command_line()),
        "seeds": "even, which may teach" if options.taught else "odd, which taught nothing",
        "real": judging.figures([one for one in ended if one.case.faults]),
        "well": judging.alarms([one for one in ended if not one.case.faults]),
        "seconds": round(monotonic_s() - began_s, 1),
    }
    print(json.dumps(found, indent=2) if options.json else _told_real(found))
    return 0


def _run_healthy(options: argparse.Namespace) -> int:
    """Live healthy days in folders of their own; one alarm is one too many."""
    began_s = monotonic_s()
    with tempfile.TemporaryDirectory(prefix="oleada-days-") as home:
        found = days.live(Path(home), range(JUDGES_FROM, JUDGES_FROM + 2 * options.box_days, 2))
    found = {
        **environment(JUDGES_FROM, command_line()),
        **found,
        "seconds": round(monotonic_s() - began_s, 1),
    }
    said = f"{found['box_days']} healthy box-days: {found['incidents']} incidents"
    print(json.dumps(found, indent=2) if options.json else said)
    return 1 if found["incidents"] else 0


def _told_real(found: dict[str, Any]) -> str:
    real, healthy = found["real"], found["well"]
    lines = [
        f"{real['cases']} cases of {real['faults']} faults on real boxes, "
        f"{real['with_two_faults']} with two, in {found['seconds']} s"
    ]
    for name in ("at_once", "checked", "two_faults"):
        one = real[name]
        lines.append(f"  {name:10} precision {one['precision']}  recall {one['recall']}")
    lines.append(f"{healthy['boxes']} real boxes that are well: {healthy['incidents']} incidents")
    return "\n".join(lines)


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
