"""Plays scenarios with real processes, and says how to repeat each failure.

A run lives in a folder of its own: server, signer, boxes and all logs. It stays when the
run has failed, or when somebody wants to look. What a run needs of the machine is asked
first, so that none is left out in silence.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oleada_lab import running, scenario
from oleada_lab.errors import LabError
from oleada_lab.proc.home import DiskKind
from oleada_lab.proc.old_agent import agent_at
from oleada_lab.proc.stage import Stage, disk_kind
from oleada_lab.real.tools import BY_NAME, examine
from oleada_lab.scenario import Scenario

NEEDED: Final = ("mosquitto", "mkfs.ext4", "debugfs", "mountns")
NEEDED_BY_DISK: Final = {
    DiskKind.PLAIN: (),
    DiskKind.SMALL: ("smalldisk",),
    DiskKind.FORGETFUL: ("fuse",),
}
STREETS: Final = 250
STORY_LINES: Final = 40
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One run."""

    path: Path
    seed: int
    keep: bool = False


def check_tools(story: Scenario) -> None:
    """Return if this machine has what *story* needs.

    Raises:
        LabError: It has not; says what is missing and what to type.
    """
    names = [*NEEDED, *NEEDED_BY_DISK[disk_kind(story)]]
    if story.release.behaviour == "no_network":
        names.append("netns")
    missing = [one for one in examine([BY_NAME[name] for name in names]) if not one.works]
    if story.fleet.old_agent:
        with tempfile.TemporaryDirectory(prefix="oleada-agent-") as folder:
            agent_at(story.fleet.old_agent, Path(folder))
    if missing:
        said = "; ".join(
            f"{one.tool.name}: {one.missing} (type: {one.tool.install})" for one in missing
        )
        raise LabError(f"{story.name} can not be played with real processes here: {said}.")


def run(wanted: Wanted, say: Say) -> dict[str, Any]:
    """Return what became of one run.

    Raises:
        LabError: It could not be played; the folder with its logs is named.
    """
    story = scenario.load(wanted.path)
    check_tools(story)
    home = Path(tempfile.mkdtemp(prefix=f"oleada-proc-{story.name}-"))
    before = _cpu_s()
    stage = Stage(story, wanted.seed, home, 1 + os.getpid() % STREETS, say)
    try:
        ending = stage.play()
    except LabError as error:
        raise LabError(f"{story.name}, seed {wanted.seed}: {error} Its folder: {home}.") from error
    keep = wanted.keep or bool(ending.wrong)
    if not keep:
        shutil.rmtree(home, ignore_errors=True)
    first = ending.broken[0] if ending.broken else None
    return {
        "scenario": story.name,
        "path": str(wanted.path),
        "level": "proc",
        "seed": wanted.seed,
        "scenario_hash": story.sha256,
        "commit": running.commit(),
        "python": running.PYTHON,
        "wall_s": ending.wall_s,
        "cpu_s": round(_cpu_s() - before, 1),
        "strikes": ending.strikes,
        "rollout": ending.rollout,
        "states": dict(sorted(ending.states.items())),
        "judged": list(ending.judged),
        "wrong": list(ending.wrong),
        "first_bad_step": ""
        if first is None
        else f"first bad step: {first.at_ms / 1000:.1f} s: {first.invariant}: {first.what}",
        "story": list(ending.lines),
        "folder": str(home) if keep else "",
        "drawn": ending.options,
        "options": json.loads(story.spelt()),
    }


def run_all(wanted: Sequence[Wanted], children: int, say: Say) -> list[dict[str, Any]]:
    """Return what became of every run, in their order; *children* at a time.

    Raises:
        LabError: One could not be played.
    """
    for one in wanted:
        check_tools(scenario.load(one.path))
    if children <= 1:
        return [run(one, say) for one in wanted]
    with ThreadPoolExecutor(max_workers=children) as pool:
        return list(pool.map(_elsewhere, wanted))


def _elsewhere(wanted: Wanted) -> dict[str, Any]:
    words = [sys.executable, "-m", "oleada_lab", "run", str(wanted.path), "--level", "proc",
             "--seed", str(wanted.seed), "--json"]  # fmt: skip
    if wanted.keep:
        words.append("--keep")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)["runs"][0]
    except (ValueError, LookupError) as error:
        raise LabError(f"Seed {wanted.seed} of {wanted.path} died: {done.stderr[-600:]}") from error
    return found


def line(found: dict[str, Any]) -> str:
    """Return one line about a run."""
    verdict = "FAILED" if found["wrong"] else "ok"
    return (
        f"{found['scenario']} seed {found['seed']}: {verdict}, {found['rollout']} "
        f"{found['states']}, {found['strikes']} strikes, {found['wall_s']} s, "
        f"{found['cpu_s']} CPU s"
    )


def told(found: dict[str, Any]) -> str:
    """Return everything that somebody needs who repeats a failed run."""
    lines = [
        f"FAILED {found['scenario']}: seed {found['seed']}, commit {found['commit']}, "
        f"Python {found['python']}, scenario {found['scenario_hash'][:12]}",
        *(f"  wrong: {wrong}" for wrong in found["wrong"]),
        f"  {found['first_bad_step'] or 'no invariant was broken'}",
        *(f"  story: {one}" for one in found["story"][-STORY_LINES:]),
        f"  drawn: {json.dumps(found['drawn'], sort_keys=True)}",
        f"  options: {json.dumps(found['options'], sort_keys=True)}",
        f"  folder: {found['folder']}",
        f"  again: oleada-lab run {found['path']} --level proc --seed {found['seed']} --keep",
    ]
    return "\n".join(lines)


def _cpu_s() -> float:
    """Return what this process and those that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
