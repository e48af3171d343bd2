"""``oleada-lab sweep``: pull the plug everywhere, and see whether the box comes back."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.errors import LabError
from oleada_lab.options import whole
from oleada_lab.real import cli as real
from oleada_lab.sim.crash import NAMED, Kept
from oleada_lab.sweep import faults, patched, power, report, resume, ticks
from oleada_lab.sweep.bugs import BUGS
from oleada_lab.sweep.faults import Trouble
from oleada_lab.sweep.power import Double, Mode, Plan
from oleada_lab.sweep.story import STORIES

FAILED = 1
SCENARIOS: Final = Path("lab/scenarios")
TOLD: Final = "stories (TOML); those about evidence, if none is named"
DRAWS: Final = whole(1)
VIRTUAL: Final = ("story", "shared", "failures_max", "cut")
"""Options that the sweep with real processes knows nothing of."""


def add_commands(commands: Any) -> None:
    """Add ``sweep`` to *commands*, an argparse action of sub-parsers."""
    sweep = commands.add_parser("sweep", help="pull the plug after every operation of the disk")
    kinds = sweep.add_subparsers(required=True, metavar="KIND")
    found = kinds.add_parser("power", help="power cuts over a simulated disk, in every mode")
    found.add_argument("--json", action="store_true", help="for programs")
    found.add_argument("--seed", type=int, default=power.SEED, help="of all chance")
    found.add_argument(
        "--modes", type=_modes, default=power.MODES, metavar="M,M",
        help="what of unsynced changes survives: " + ",".join(map(str, power.MODES)),
    )  # fmt: skip
    found.add_argument(
        "--double", type=_double, default=str(Double.SAMPLE), metavar="|".join(Double),
        help="how many recoveries are cut again (%(default)s); with --real a number too",
    )  # fmt: skip
    found.add_argument(
        "--story", action="append", choices=sorted(STORIES), help="one of them; repeatable"
    )
    found.add_argument(
        "--shared", action="store_true", help="cut each story from its first operation on"
    )
    found.add_argument(
        "--failures-max", type=whole(1), metavar="N", help="stop a story after so many; all without"
    )
    found.add_argument(
        "--mutant", metavar="NAME",
        help=f"plant a bug: one of lab/mutants, or {', '.join(BUGS)}",
    )  # fmt: skip
    found.add_argument(
        "--cut", type=_cuts, metavar="N:MODE,N:MODE", help="these cuts of one story and no others"
    )
    real.add_options(found)
    found.set_defaults(run=_power)
    _add_resume(kinds)
    _add_faults(kinds)
    _add_ticks(kinds)


def _add_ticks(kinds: Any) -> None:
    found = kinds.add_parser("ticks", help="the server is killed at each commit of its ticks")
    found.add_argument("files", nargs="*", type=Path, metavar="FILE", help=TOLD)
    found.add_argument("--seed", type=int, help="instead of a story's own")
    found.add_argument("--batches", action="store_true", help="at those of its batches too")
    found.add_argument("--json", action="store_true", help="for programs")
    found.set_defaults(run=_ticks)


def _ticks(options: argparse.Namespace) -> int:
    files = options.files or sorted(SCENARIOS.glob(ticks.STORIES))
    if not files:
        raise LabError("No story is here; name files, or go to the source folder.")
    say = _quiet if options.json else _tell
    found = ticks.run_ticks(files, options.seed, batches=options.batches, said=say)
    failed = sum(bool(one.wrong) for one in found)
    if options.json:
        told = {
            "stories": [one.to_json() for one in found],
            "kills": sum(one.tally.kills for one in found),
            "failed": failed,
            **environment(options.seed or 0, command_line()),
        }
        print(json.dumps(told, indent=2))
    return FAILED if failed else 0


def _tell(one: ticks.Found) -> None:
    """Say at once what became of a story."""
    print(
        f"{one.scenario} seed {one.seed}: {one.rollout}, killed {one.tally.kills} times at "
        f"{one.tally.commits} commits, {one.started} boxes begun, {one.outcomes} outcomes; "
        + ("as if never killed" if not one.wrong else "WRONG"),
        flush=True,
    )
    for wrong in one.wrong:
        print(f"  {wrong}", flush=True)


def _quiet(_one: ticks.Found) -> None:
    """Say nothing."""


def _add_faults(kinds: Any) -> None:
    found = kinds.add_parser("faults", help="the disk refuses, or rots, at every operation")
    found.add_argument("--json", action="store_true", help="for programs")
    found.add_argument("--seed", type=int, default=power.SEED, help="of all chance")
    found.add_argument(
        "--story", action="append", choices=sorted(STORIES), help="one of them; repeatable"
    )
    found.add_argument(
        "--trouble", action="append", choices=[str(one) for one in Trouble],
        help="one of them; repeatable",
    )  # fmt: skip
    found.add_argument(
        "--every",
        type=whole(1),
        default=1,
        metavar="N",
        help="of N operations take one (default: all)",
    )
    found.add_argument(
        "--strike", type=_strike, metavar="N:TROUBLE", help="this one, of one story, and no other"
    )
    found.set_defaults(run=_faults)


def _faults(options: argparse.Namespace) -> int:
    stories = tuple(options.story or STORIES)
    troubles = tuple(Trouble(one) for one in options.trouble or Trouble)
    plan = faults.Plan(stories, troubles, options.seed, options.every)
    if options.strike:
        return _strike_once(plan, *options.strike)
    result = faults.run_sweep(plan)
    if options.json:
        found = {**faults.to_json(result), **environment(plan.seed, command_line())}
        print(json.dumps(found, indent=2))
    else:
        print(faults.to_text(result))
    return FAILED if result.failures else 0


def _strike_once(plan: faults.Plan, number: int, trouble: Trouble) -> int:
    if len(plan.stories) != 1:
        raise LabError("--strike needs --story: each story numbers its own operations.")
    findings = faults.replay(plan, STORIES[plan.stories[0]], number, trouble)
    for finding in findings:
        print(f"{finding.kind}: {finding.sentence}")
    if not findings:
        print("The box lived on, told the truth, and what its disk did.")
    return FAILED if findings else 0


def _strike(text: str) -> tuple[int, Trouble]:
    number, _, name = text.partition(":")
    try:
        return int(number), Trouble(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is none, such as 123:eio_once") from error


def _add_resume(kinds: Any) -> None:
    found = kinds.add_parser("resume", help="a large download, cut again and again")
    found.add_argument("--json", action="store_true", help="for programs")
    found.add_argument("--seed", type=int, default=power.SEED, help="of where and how it is cut")
    found.add_argument(
        "--bytes",
        type=whole(1_000_000, 1_000_000_000),
        default=resume.IMAGE_BYTES,
        help="of the image",
    )
    found.add_argument("--cuts", type=whole(0, 10_000), default=resume.CUTS, help="of the power")
    found.set_defaults(run=_resume)


def _resume(options: argparse.Namespace) -> int:
    result = resume.run_resume(options.bytes, options.cuts, options.seed)
    figures = result.to_json()
    if options.json:
        print(json.dumps({**figures, **environment(options.seed, command_line())}, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:<18} {value}")
    return 0 if result.met else FAILED


def _power(options: argparse.Namespace) -> int:
    idle = VIRTUAL if options.real else real.REAL
    if strange := [name for name in idle if getattr(options, name)]:
        goes_with = "is of virtual time, not of" if options.real else "needs"
        raise LabError(f"--{strange[0].replace('_', '-')} {goes_with} --real.")
    if options.real:
        named = options.modes is power.MODES
        modes = NAMED if named else tuple(dict.fromkeys(mode.kept for mode in options.modes))
        return real.run(options, modes, _bug(options.mutant))
    if options.mutant is not None and options.mutant not in BUGS:
        return patched.run(options.mutant, _without_mutant(options))
    if options.double.isdecimal():
        raise LabError("--double takes a number only with --real.")
    plan = Plan(
        stories=tuple(options.story or STORIES),
        seed=options.seed,
        modes=options.modes,
        double=Double(options.double),
        bug=_bug(options.mutant),
        shared=options.shared,
        failures_max=options.failures_max,
    )
    if options.cut:
        return _replay(plan, options.cut)
    result = power.run_sweep(plan)
    if options.json:
        found = {**report.to_json(result), **environment(plan.seed, command_line())}
        print(json.dumps(found, indent=2))
    else:
        print(report.to_text(result))
    return FAILED if result.failures else 0


def _replay(plan: Plan, cuts: list[tuple[int, Kept, int]]) -> int:
    if len(plan.stories) != 1:
        raise LabError("--cut needs --story: the operations of each story have their own numbers.")
    findings = power.replay(plan, STORIES[plan.stories[0]], cuts)
    for finding in findings:
        print(f"{finding.kind}: {finding.sentence}")
    if not findings:
        print("The box came back, told one verdict, and remembers what it promised.")
    return FAILED if findings else 0


def _without_mutant(options: argparse.Namespace) -> list[str]:
    """Return the words of the same command, for code that has the bug in it."""
    words = ["sweep", "power", "--seed", str(options.seed), "--double", options.double]
    words += ["--modes", ",".join(map(str, options.modes))]
    words += [word for story in options.story or () for word in ("--story", story)]
    words += ["--json"] * options.json + ["--shared"] * options.shared
    if options.failures_max is not None:
        words += ["--failures-max", str(options.failures_max)]
    if options.cut:
        cuts = ",".join(f"{number}:{kept}:{draw}" for number, kept, draw in options.cut)
        words += ["--cut", cuts]
    return words


def _bug(name: str | None) -> Any:
    if name is not None and name not in BUGS:
        raise LabError(f"There is no bug {name}; known are {', '.join(BUGS)}.")
    return BUGS[name] if name else None


def _double(text: str) -> str:
    if text not in {str(one) for one in Double} and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is neither a number nor {', '.join(Double)}")
    return text


def _modes(text: str) -> tuple[Mode, ...]:
    return tuple(_mode(part) for part in text.split(","))


def _mode(text: str) -> Mode:
    name, _, draws = text.partition(":")
    try:
        return Mode(Kept(name), DRAWS(draws or "1"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no mode; see --help") from error


def _cuts(text: str) -> list[tuple[int, Kept, int]]:
    found = []
    for part in text.split(","):
        number, _, mode = part.partition(":")
        name, _, draw = mode.partition(":")
        try:
            found.append((int(number), Kept(name), int(draw or 0)))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{part} is no cut, such as 123:torn") from error
    return found
