"""``python -m oleada_lab.mutants NAMES``: ask the oracles of a JSON list until one notices.

Says ``["asked", name, ""]`` before each, then ``["took", name, seconds]`` or
``["wrong", name, what]``, with which it ends. Its status is 1 when one noticed.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from oleada_lab import scenario, stories
from oleada_lab.clock import cpu_s
from oleada_lab.errors import LabError
from oleada_lab.mutants.oracles import (
    ASKED,
    RESUME,
    SAID_CHARS_MAX,
    SCHEDULERS,
    SWEEP,
    TOOK,
    WRONG,
)
from oleada_lab.sweep.power import Double, Plan, run_sweep
from oleada_lab.sweep.resume import run_resume
from oleada_lab.sweep.schedulers import run_paused

RESUMED_BYTES, RESUMED_CUTS = 8_000_000, 6


def main(names: Sequence[str]) -> int:
    """Ask the oracles *names*; return the exit status."""
    for name in names:
        _say(ASKED, name, "")
        began_s = cpu_s()
        wrong = _ask(name)
        if wrong:
            _say(WRONG, name, wrong[:SAID_CHARS_MAX])
            return 1
        _say(TOOK, name, round(cpu_s() - began_s, 2))
    return 0


def _ask(name: str) -> str:
    kind, _, what = name.partition(" ")
    if kind == RESUME:
        return _resumed()
    if kind == SCHEDULERS:
        return next(iter(run_paused().wrong), "")
    return _swept(what) if f"{kind} " == SWEEP else _played(Path(what))


def _resumed() -> str:
    found = run_resume(RESUMED_BYTES, RESUMED_CUTS)
    wrong = [f"{one.kind}: {one.sentence}" for one in found.findings]
    if not found.met:
        wrong.append(f"{max(found.again_bytes)} bytes came again after a cut")
    return next(iter(wrong), "")


def _swept(story: str) -> str:
    """Return the first thing that a sweep of *story* finds; "" for nothing."""
    try:
        result = run_sweep(Plan(stories=(story,), double=Double.NONE, failures_max=1))
    except LabError as error:  # it fails without any cut
        return str(error)
    return next((f"{one.finding.kind}: {one.finding.sentence}" for one in result.failures), "")


def _played(path: Path) -> str:
    return next(iter(stories.play(scenario.load(path)).wrong), "")


def _say(word: str, name: str, more: object) -> None:
    print(json.dumps([word, name, more]), flush=True)  # noqa: T201 - what its parent reads


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
