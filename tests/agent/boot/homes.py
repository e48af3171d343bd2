"""Boxes with power for tests: tiny ext4 images, and the real ``oleada-boot``.

The agent in these images does one thing: it calls its test over a Unix socket, says how
it was booted, and does what it is told.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oleada_agent.boot import control, image
from oleada_agent.boot.disk import RealDisk

MODEL = "VX-410"
ANSWER_LIMIT_S = 60
AGENT = """
import json, os, pathlib, signal, socket, sys
box = pathlib.Path(sys.argv[sys.argv.index("--box") + 1])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
told = json.loads((box / "run/booted.json").read_text())
told.update(
    agent=AGENT_VERSION, pid=os.getpid(), player=(box / "run/player.ready").exists(),
    run=sorted(p.name for p in (box / "run").iterdir()),
)
try:
    socket.create_connection(("127.0.0.1", int((box / "port").read_text())), 5).close()
    told["network"] = True
except OSError:
    told["network"] = False
(box / "run/agent.alive").touch()
line = socket.socket(socket.AF_UNIX)
line.connect(str(box / "s"))
line.sendall(json.dumps(told).encode() + b"\\n")
order = line.recv(20).decode()
print("told to", order, flush=True)
if order == "reboot":
    sys.exit(75)
if order == "die":
    os.abort()
if order == "hush":
    (box / "run/agent.alive").write_text("0.2")
signal.pause()
"""


def build_image(
    folder: Path, version: str, *, behaviour: str = "good", inner_version: str | None = None
) -> Path:
    """Return an image of *version* with the agent above."""
    tree = folder / f"tree-{version}-{behaviour}"
    (tree / "oleada").mkdir(parents=True)
    release = {
        "version": inner_version or version,
        "hardware_model": MODEL,
        "security_version": 1,
        "behaviour": behaviour,
        "provides": ["codec:hevc-main10"],
    }
    (tree / "oleada" / "release.json").write_text(json.dumps(release))
    with zipfile.ZipFile(tree / "oleada" / "agent.pyz", "w") as agent:
        agent.writestr("__main__.py", AGENT.replace("AGENT_VERSION", repr(version)))
    path = folder / f"{version}-{behaviour}.img"
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", str(tree), str(path), "512k"],
        check=True,
        capture_output=True,
    )
    image.seal_header(path, hardware_model=MODEL, version=version)
    return path


@dataclass
class Call:
    """One start of the agent: what it said, and the line on which it waits for an order."""

    said: dict[str, Any]
    line: socket.socket

    def order(self, word: str) -> None:
        """Tell the agent to ``reboot``, ``die``, ``stay`` or, after a promise, ``hush``."""
        self.line.sendall(word.encode())

    def ended(self) -> bool:
        """Return True when the agent's process is gone; waits for it."""
        return self.line.recv(1) == b""


class Home:
    """A box, its plug, and a test that the agent calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("slots", "boot", "data"):
            (folder / name).mkdir(parents=True)
        self.store = control.FileBootControl(RealDisk(folder))
        self._calls = socket.socket(socket.AF_UNIX)
        self._calls.bind(str(folder / "s"))
        self._calls.listen()
        self._calls.settimeout(ANSWER_LIMIT_S)
        self._network = socket.create_server(("127.0.0.1", 0))
        (folder / "port").write_text(str(self._network.getsockname()[1]))
        self._lines: list[socket.socket] = []
        self.process: subprocess.Popen[bytes] | None = None

    def insert(self, slot: str, data: Path) -> None:
        """Put the image *data* into *slot*."""
        (self.folder / "slots" / f"{slot.lower()}.img").write_bytes(data.read_bytes())

    def power_on(self, *options: str) -> None:
        """Start the boot program."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "oleada_agent.boot.program"),
                *("--box", str(self.folder), *options),
            ],
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def next_boot(self, order: str) -> dict[str, Any]:
        """Return what the next agent to start says, after giving it *order*."""
        call = self.next_call()
        call.order(order)
        return call.said

    def next_call(self) -> Call:
        """Return the next agent that starts."""
        line, _ = self._calls.accept()
        line.settimeout(ANSWER_LIMIT_S)
        self._lines.append(line)
        with line.makefile("r") as text:
            return Call(json.loads(text.readline()), line)

    def switch_off(self) -> int:
        """Press the button; return the boot program's exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def pull_plug(self) -> None:
        """Kill everything at once."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Return the boot program's exit code when it has ended."""
        assert self.process is not None
        self.said = self.process.communicate(timeout=ANSWER_LIMIT_S)[1].decode()
        return self.process.returncode

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.returncode is None:
            self.pull_plug()
        for line in (*self._lines, self._calls, self._network):
            line.close()


@contextmanager
def a_home(folder: Path, a: Path, b: Path | None = None, *, tries_b: int = 0) -> Iterator[Home]:
    """Yield a box with image *a* proven in slot A, and *b* armed in slot B if *tries_b*."""
    home = Home(folder / "box")
    try:
        home.insert("A", a)
        home.store.store(control.factory("A"))
        if b is not None:
            home.insert("B", b)
        if tries_b:
            home.store.arm("B", tries_b)
        yield home
    finally:
        home.close()
