"""Plays scenarios with many seeds in several processes, and says how to repeat each failure.

A run is named by commit, scenario (the hash of all its options), seed and Python: the same
four give the same trace. With *twice* each seed is played in two more processes with
different ``PYTHONHASHSEED``, because an order that depends on it would be no proof.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import oleada_agent
import oleada_server
import oleada_store
import oleada_wire

import oleada_lab
from oleada_lab import scenario, stories
from oleada_lab.errors import LabError
from oleada_lab.kept_lines import KeptLines
from oleada_lab.plant import first_bad_step

HASH_SEEDS: Final = ("1", "2")
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One run.

    Attributes:
        with_canary: An order in it depends on ``PYTHONHASHSEED``.
        server: Instead of the scenario's own; empty for that.
    """

    path: Path
    seed: int
    with_canary: bool = False
    server: str = ""


def run(wanted: Wanted) -> dict[str, Any]:
    """Return what became of one run."""
    story = scenario.load(wanted.path)
    if wanted.server:
        story = replace(story, server=wanted.server)
    with stories.Stage(story, wanted.seed) as stage:
        if wanted.with_canary:
            plant_canary(stage)
        stage.play()
        ending = stage.ending()
    first = ending.broken[0] if ending.broken else None
    return {
        "scenario": story.name,
        "path": str(wanted.path),
        "seed": wanted.seed,
        "server": scenario.SERVICES if story.has_services else scenario.ROWS,
        "scenario_hash": story.sha256,
        "commit": commit(),
        "python": PYTHON,
        "trace": ending.trace_hash,
        "events": ending.events,
        "cpu_s": round(ending.cpu_s, 2),
        "rollout": str(ending.rollout),
        "states": {str(state): boxes for state, boxes in sorted(ending.states.items())},
        "wrong": list(ending.wrong),
        "first_bad_step": first_bad_step(first.at_ms, f"{first.invariant}: {first.what}")
        if first is not None
        else "",
        "drawn": ending.options,
        "options": json.loads(story.spelt()),
    }


def run_all(
    wanted: Sequence[Wanted],
    children: int,
    *,
    twice: bool,
    said: Callable[[dict[str, Any]], None] = lambda _: None,
    kept: Path | None = None,
) -> list[dict[str, Any]]:
    """Return what became of every run, in their order; *children* processes at a time.

    Args:
        said: Called with each run that has ended.
        kept: Where runs are kept that went well, a line each: they are not played again while
            neither code nor scenario has changed.

    Raises:
        LabError: A process died, or *kept* can not be read or written.
    """
    before = KeptLines(kept, "run")

    def ask(one: Wanted) -> dict[str, Any]:
        name = _name_of(one, twice=twice)
        found: dict[str, Any] | None = before.get(name)
        if found is None:
            is_alone = children <= 1 and not twice
            found = run(one) if is_alone else _elsewhere(one, twice=twice)
            if not found["wrong"]:
                before.add(name, found)
        said(found)
        return found

    with ThreadPoolExecutor(max_workers=max(1, children)) as pool:
        return list(pool.map(ask, wanted))


def _name_of(wanted: Wanted, *, twice: bool) -> str:
    """Return what names a run: what is played, with which code."""
    story = hashlib.sha256(wanted.path.read_bytes()).hexdigest()
    parts = (wanted.path.name, wanted.seed, wanted.server, wanted.with_canary, twice)
    return "/".join(map(str, (*parts, story[:16], _code())))


@cache
def _code() -> str:
    """Return the hash of every module that a story runs."""
    found = hashlib.sha256()
    for package in (oleada_agent, oleada_lab, oleada_server, oleada_store, oleada_wire):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _elsewhere(wanted: Wanted, *, twice: bool) -> dict[str, Any]:
    found = [_child(wanted, hash_seed) for hash_seed in (HASH_SEEDS if twice else HASH_SEEDS[:1])]
    traces = [one["trace"] for one in found]
    if len(set(traces)) > 1:
        found[0]["wrong"].append(f"two runs of one seed differ: traces {' and '.join(traces)}")
    return found[0]


def _child(wanted: Wanted, hash_seed: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "oleada_lab", "run", str(wanted.path), "--json",
             "--seed", str(wanted.seed)]  # fmt: skip
    if wanted.with_canary:
        words.append("--plant-canary")
    if wanted.server:
        words += ["--server", wanted.server]
    done = subprocess.run(
        words,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(done.stdout)["runs"][0]
    except (ValueError, LookupError) as error:
        raise LabError(f"Seed {wanted.seed} of {wanted.path} died: {done.stderr[-600:]}") from error
    return found


def told(run: dict[str, Any]) -> str:
    """Return everything that somebody needs who repeats a failed run."""
    lines = [
        f"FAILED {run['scenario']}: seed {run['seed']}, commit {run['commit']}, "
        f"Python {run['python']}, scenario {run['scenario_hash'][:12]}",
        *(f"  wrong: {wrong}" for wrong in run["wrong"]),
        f"  {run['first_bad_step']}" if run["first_bad_step"] else "  no invariant was broken",
        f"  drawn: {json.dumps(run['drawn'], sort_keys=True)}",
        f"  options: {json.dumps(run['options'], sort_keys=True)}",
        f"  again: oleada-lab play {run['path']} --seed {run['seed']} --trace trace.txt",
    ]
    return "\n".join(lines)


def plant_canary(stage: stories.Stage) -> None:
    """Let boxes be named in the order of a set of texts: what ``--twice`` must catch."""
    for device_id in set(stage.boxes):
        stage.world.note(device_id, "is a canary")


def commit() -> str:
    """Return the commit of the working tree, ``-dirty`` if it differs; unknown without git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
