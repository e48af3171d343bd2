"""``oleada-lab mutants``: plant bugs in whole programs; sweeps and stories must notice."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.errors import MutantError
from oleada_lab.mutants import exam, oracles
from oleada_lab.mutants.exam import Result
from oleada_lab.mutation import survivors
from oleada_lab.options import to_write, whole

ROOT: Final = Path(__file__).resolve().parents[2]
SEED: Final = 20_261_122
KEPT: Final = "add each judgement there, and go on from it while code, stories and bug are the same"


def add_commands(commands: Any) -> None:
    """Add ``mutants`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "mutants", help="plant bugs in whole programs; sweeps and stories must notice"
    )
    found.add_argument("--only", action="append", default=[], help="a part of a mutant's name")
    found.add_argument("--seed", type=int, default=SEED, help="of the mutants that are drawn")
    found.add_argument("-j", "--children", type=whole(1, 64), default=2, help="processes at a time")
    found.add_argument("--kept", type=to_write, metavar="FILE", help=KEPT)
    found.add_argument("--list", action="store_true", help="say what there is and plant nothing")
    found.add_argument("--json", action="store_true", help="print the result as JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    explained = survivors.load(ROOT / "lab" / "mutants" / "drawn.toml")
    every = exam.bugs(ROOT, options.seed, explained)
    chosen = [
        bug for bug in every
        if not options.only or any(word in bug.name for word in options.only)
    ]  # fmt: skip
    if not chosen:
        raise MutantError(f"No mutant has one of {options.only} in its name; see --list.")
    if options.list:
        print("\n".join(f"{bug.name}: {bug.what}" for bug in chosen))
        return 0
    results = exam.judge(
        ROOT,
        chosen,
        oracles.known(ROOT),
        children=options.children,
        said=_tell,
        keep=options.kept,
    )
    found = {**environment(options.seed, command_line()), **exam.report(results)}
    print(json.dumps(found, indent=2) if options.json else _spelt(found))
    return 1 if found["wrong"] else 0


def _tell(result: Result) -> None:
    became = f"killed by {result.by}: {result.said}" if result.by else "LIVES"
    print(f"{result.bug.name}: {became} ({result.cpu_s:.0f} s)", file=sys.stderr, flush=True)


def _spelt(found: dict[str, Any]) -> str:
    lines = [
        f"{found['killed']} of {found['mutants']} killed ({found['share_killed']:.1%}), "
        + ", ".join(f"{number} by {name}" for name, number in found["by"].items())
    ]
    lines += [f"lives: {one['name']}: {one['why'] or one['what']}" for one in found["survivors"]]
    return "\n".join([*lines, *(f"wrong: {one}" for one in found["wrong"])])
