"""The process that holds one medium mounted: FUSE on one side, the lab on the other.

It is told what to do in lines of JSON, ``{"do": NAME, …}``, on standard input, and answers
each with one line. At the end of its input it unmounts and goes, so that nothing is left
behind by a lab that was killed.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import mfusepy

from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.real.medium import Medium
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Fault

OPTIONS: Final = {
    # Whatever the kernel cached would survive the power cut.
    "direct_io": True,
    "attr_timeout": 0,
    "entry_timeout": 0,
    "negative_timeout": 0,
    "hard_remove": True,
}


class Mounted:
    """A medium under FUSE. One lock: the kernel and the lab take turns."""

    use_ns = True

    def __init__(self) -> None:
        self.medium = Medium()
        self.medium.on_cut = self._kill
        self.medium.clock = monotonic_s
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        """Return the medium's method *name*; FUSE leaves out what there is none of."""
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self.medium, name)

        def locked(*arguments: Any) -> Any:
            with self._lock:
                return method(*arguments)

        return locked

    def obey(self, order: dict[str, Any]) -> Any:
        """Do what the lab asks, and return the answer."""
        with self._lock:
            return self._obey(order.pop("do"), **order)

    def _obey(self, name: str, /, **asked: Any) -> Any:
        medium = self.medium
        match name:
            case "load":
                medium.load(Path(asked["folder"]))
            case "keep" | "back" | "forget":
                getattr(medium, name)(asked["name"])
            case "moments":
                return medium.moments
            case "cut_after" | "cut_at" | "record_as":
                (value,) = asked.values()
                setattr(medium, "recorded_as" if name == "record_as" else name, value)
            case "lose_power":
                return medium.lose_power(Kept(asked["kept"]), asked["seed"])
            case "log":
                return [[*op, stage] for op, stage in zip(medium.log, medium.stages, strict=True)]
            case _:
                self._strike(name, **asked)
        return None

    def _strike(self, name: str, /, **asked: Any) -> None:
        medium = self.medium
        match name:
            case "strike":
                medium.strike(tuple(_fault(one) for one in asked["faults"]))
            case "forget_syncs":
                medium.forget_syncs(tuple(asked["paths"]))
            case "full_after" | "read_only_after":
                setattr(medium, name, asked["number"])
            case "slow_sync":
                medium.before_sync = lambda: sleep_s(asked["seconds"])
            case "mend":
                medium.mend()
            case _:
                self._strike_soon(name, **asked)

    def _strike_soon(self, name: str, /, **asked: Any) -> None:
        """Strike at operations that count from now, whatever has been done so far."""
        medium = self.medium
        match name:
            case "cut_in":
                medium.cut_after = medium.changes + asked["operations"]
            case "strike_in":
                fault = _fault(asked["fault"])
                medium.strike((replace(fault, at=medium.changes + fault.at),))
            case "remount_read_only":
                medium.is_read_only = True
            case _:
                raise ValueError(f"{name!r} is nothing that a mount does")

    def _kill(self) -> None:
        """Kill whoever made the call, with everybody of its process group."""
        group = os.getpgid(mfusepy.fuse_get_context()[2])
        if group != os.getpgrp():
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _fault(told: dict[str, Any]) -> Fault:
    return Fault(**{**told, "kinds": frozenset(told["kinds"])})


def main() -> None:
    """Mount at the folder that is named first, until the input ends."""
    folder = sys.argv[1]
    mounted = Mounted()
    threading.Thread(target=_listen, args=(mounted, folder), daemon=True).start()
    mfusepy.FUSE(mounted, folder, foreground=True, nothreads=True, fsname="oleada-lab", **OPTIONS)


def _listen(mounted: Mounted, folder: str) -> None:
    for line in sys.stdin:
        try:
            answer = {"ok": mounted.obey(json.loads(line))}
        except (OSError, ValueError, KeyError, TypeError) as error:
            answer = {"error": repr(error)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    subprocess.run(["fusermount3", "-u", "-z", folder], check=False, capture_output=True)


if __name__ == "__main__":
    main()
