"""What a measurement leaves behind: numbers with the commit, seed, machine and command."""

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

SCHEMA: Final = "lab.bench/1"
ROOT: Final = Path(__file__).resolve().parents[3]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least *share* (0 to 1) of *values* do not exceed.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("a quantile of nothing is nothing")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def environment(seed: int, command: Sequence[str]) -> dict[str, Any]:
    """Return what one must know to repeat a measurement."""
    return {
        "commit": _said("git", "-C", str(ROOT), "rev-parse", "HEAD"),
        "changed_files": len(_said("git", "-C", str(ROOT), "status", "--porcelain").splitlines()),
        "seed": seed,
        "command": list(command),
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "python": platform.python_version(),
            "mosquitto": _said("mosquitto", "-h").partition("\n")[0],
        },
    }


def store(
    results: Mapping[str, Any], folder: Path, at: datetime, seed: int, command: Sequence[str]
) -> Path:
    """Write *results* with their environment into *folder*, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"schema": SCHEMA, "at": at.isoformat(), **environment(seed, command)}
    path = folder / f"{at:%Y%m%dT%H%M%SZ}-{str(found['commit'])[:12]}.json"
    path.write_text(json.dumps({**found, "results": results}, indent=2) + "\n")
    return path


def command_line() -> list[str]:
    """Return how this process was called, without the machine's folders."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _said(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
