"""``oleada-lab mutation``: plant small faults in the decision cores; the tests must notice."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from oleada_lab.bench.report import command_line, environment
from oleada_lab.errors import MutationError
from oleada_lab.mutation import kept, plan, survivors
from oleada_lab.mutation.mutants import mutants
from oleada_lab.options import folder, whole

ROOT: Final = Path(__file__).resolve().parents[2]
PLAN: Final = ROOT / "lab" / "mutation.toml"
EXPLAINED: Final = ROOT / "docs" / "reference" / "mutation-survivors.toml"
SEED: Final = 20_261_121


def add_commands(commands: Any) -> None:
    """Add ``mutation`` to *commands*, an argparse action of sub-parsers."""
    found = commands.add_parser(
        "mutation", help="plant small faults in the decision cores; the tests must notice"
    )
    found.add_argument("--only", action="append", default=[], help="a module, or a part of names")
    found.add_argument("--sample", type=whole(1), help="so many mutants, evenly over the modules")
    found.add_argument("--seed", type=int, default=SEED, help="of the sample")
    found.add_argument("--children", type=whole(1, 64), default=2, help="processes at a time")
    found.add_argument(
        "--keep", type=folder, help="folder for finished modules; goes on from there"
    )
    found.add_argument("--plan", type=Path, default=PLAN, help="what is mutated (TOML)")
    found.add_argument("--explained", type=Path, default=EXPLAINED, help="survivors (TOML)")
    found.add_argument("--root", type=Path, default=ROOT, help="what the plan's paths start from")
    found.add_argument("--json", action="store_true", help="print the result as JSON alone")
    found.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    explained = survivors.load(options.explained)
    asked = plan.load(options.plan, options.only)
    sources = plan.read_sources(options.root, asked)
    numbers = {
        one.module: len(mutants(sources[one.file], one.file, one.annotations))
        for one in asked.targets
    }
    portions = plan.portions(numbers, options.sample)
    digested = kept.digest(options.root, plan.load(options.plan), [options.seed, options.sample])
    judged: list[dict[str, Any]] = []
    names: set[survivors.Name] = set()
    for module in (name for name, portion in portions.items() if portion):
        said = kept.load(options.keep, module, digested)
        if said is None:
            said = _judge(options, module, portions[module])
            kept.store(options.keep, module, digested, said)
        judged += [one for one in said["verdicts"] if one["status"] != "invalid"]
        names |= {survivors.name_of(name) for name in said["names"]}
    result = _result(options, judged, explained, names)
    print(json.dumps(result, indent=2) if options.json else _spelt(result))
    return 1 if result["wrong"] else 0


def _judge(options: argparse.Namespace, module: str, portion: int) -> kept.Said:
    """Judge so many mutants of *module* in a process that has imported nothing yet."""
    verdicts: dict[int, dict[str, Any]] = {}
    names: list[list[str]] = []
    for said in _said(options, module, portion):
        if "number" in said:
            verdicts[said["number"]] = said
            _tell_progress(options, f"{module}: {len(verdicts)} of {portion}", said)
        names += said.get("names", ())
    return {"verdicts": list(verdicts.values()), "names": names}


def _said(options: argparse.Namespace, module: str, portion: int) -> Iterator[dict[str, Any]]:
    """Yield what the module's run says, line by line."""
    with tempfile.TemporaryDirectory(prefix="oleada-mutation-") as scratch:
        spec = {
            "plan": str(options.plan.resolve()),
            "root": str(options.root.resolve()),
            "module": module,
            "sample": portion,
            "seed": options.seed,
            "children": options.children,
            "scratch": scratch,
        }
        command = [sys.executable, "-m", "oleada_lab.mutation", json.dumps(spec)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                said: dict[str, Any] = json.loads(line)
                if "error" in said:
                    raise MutationError(said["error"])
                yield said
        if process.returncode:
            raise MutationError(f"The mutation run ended with status {process.returncode}.")


def _result(
    options: argparse.Namespace,
    judged: list[dict[str, Any]],
    explained: dict[survivors.Name, str],
    names: set[survivors.Name],
) -> dict[str, Any]:
    modules = survivors.report(judged, explained)
    killed = {survivors.name_of_row(one) for one in judged if one["status"] != "survived"}
    left = {survivors.name_of_row(one) for one in judged if one["status"] == "survived"}
    unexplained = [one for of in modules.values() for one in of["survivors"] if not one["why"]]
    wrong = [f"{one['at']}: {one['operator']} is not explained" for one in unexplained]
    is_whole = not options.only and options.sample is None
    wrong += survivors.stale(explained, names, killed - left, is_whole=is_whole)
    wrong += survivors.below_floor(modules, is_sample=options.sample is not None)
    total = sum(of["mutants"] for of in modules.values())
    dead = sum(of["killed"] for of in modules.values())
    return {
        **environment(options.seed, command_line()),
        "sample": options.sample,
        "mutants": total,
        "killed": dead,
        "explained": total - dead - len(unexplained),
        "share_killed": round(dead / total, 4) if total else 0.0,
        "wilson_95": survivors.wilson(dead, total),
        "modules": modules,
        "wrong": wrong,
    }


def _tell_progress(options: argparse.Namespace, done: str, said: dict[str, Any]) -> None:
    if done.partition(" of ")[0].endswith("00"):
        print(done, file=sys.stderr, flush=True)
    if not options.json and said["status"] == "survived":
        print(f"{done}: {said['file']}:{said['line']} {said['function']}: {said['operator']}")
        print(said["diff"], flush=True)


def _spelt(result: dict[str, Any]) -> str:
    lines = [
        f"{file}: {of['killed']} of {of['mutants']} killed ({of['share_killed']:.1%}), "
        f"{of['timeouts']} of them by time; {len(of['survivors'])} survive"
        for file, of in result["modules"].items()
    ]
    low, high = result["wilson_95"]
    lines.append(
        f"together {result['killed']} of {result['mutants']} ({result['share_killed']:.1%}; "
        f"95 % interval {low:.1%} to {high:.1%})"
    )
    return "\n".join([*lines, *(f"wrong: {one}" for one in result["wrong"])])
