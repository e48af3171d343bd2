"""What the lab can use of this machine: looked for by trying, not by asking for versions.

``TOOLS`` is the one list; ``oleada-lab doctor``, the tests' summary and the errors of the
sweep all speak from it.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

TRY_LIMIT_S: Final = 60
SYSTEM_FOLDERS: Final = ("/usr/sbin", "/sbin")
"""Where Debian puts programs that are not on everybody's PATH."""
POSTGRESQL: Final = "/usr/lib/postgresql"


@dataclass(frozen=True, slots=True)
class Tool:
    """One thing of a machine that the lab uses.

    Attributes:
        used_for: What it does here; ends without a full stop.
        without: What can not be run when it is missing; ends without a full stop.
        install: The one line that brings it.
        is_promised: ``make test`` can not do without it.
        look: Returns what is missing in a few words; empty when it works.
    """

    name: str
    used_for: str
    without: str
    install: str
    is_promised: bool
    look: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of one tool; *missing* is empty when it works."""

    tool: Tool
    missing: str

    @property
    def works(self) -> bool:
        """Whether the lab can use it."""
        return not self.missing


def examine(tools: Sequence[Tool]) -> list[Found]:
    """Try each of *tools* once, and return what was found, in their order."""
    return [Found(tool, tool.look()) for tool in tools]


def missing(*names: str) -> str:
    """Return a sentence about the tools *names* that do not work; empty when all do."""
    found = [one for one in examine([BY_NAME[name] for name in names]) if not one.works]
    return " ".join(
        f"{one.tool.name} does not work here: {one.missing}. Type: {one.tool.install}."
        for one in found
    )


def program(name: str) -> str | None:
    """Return where the program *name* is; None when it is not here."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(SYSTEM_FOLDERS))


def _has(*names: str) -> Callable[[], str]:
    def look() -> str:
        absent = [name for name in names if program(name) is None]
        return f"there is no program {', '.join(absent)}" if absent else ""

    return look


def _tried(*command: str) -> str:
    """Return what *command* says when it fails; empty when it works."""
    if program(command[0]) is None:
        return f"there is no program {command[0]}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TRY_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return "" if done.returncode == 0 else said[-1]


def _opened(device: str) -> str:
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{device}: {error.strerror}"
    return ""


def _fuse() -> str:
    if find_spec("mfusepy") is None:
        return "the Python package mfusepy is not installed"
    try:
        import mfusepy  # noqa: F401, PLC0415 - loads libfuse, which may be missing
    except (OSError, AttributeError) as error:
        return str(error)
    return _has("fusermount3")() or _opened("/dev/fuse")


def _strace() -> str:
    return _tried("strace", "-qq", "-o", os.devnull, "-e", "trace=none", "true")


def _netns() -> str:
    own = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
    return _tried(*own, "true")


def _mount_namespace() -> str:
    return _tried("unshare", "--mount", "--", "mount", "--bind", os.devnull, "/etc/hosts")


def _small_disk() -> str:
    return _tried(
        *("unshare", "--mount", "--", "mount", "-t", "tmpfs", "-o", "size=4096", "lab", "/mnt")
    )


def _loop() -> str:
    return _has("mke2fs", "e2fsck", "losetup")() or _tried("losetup", "--find")


def _cgroup() -> str:
    root = Path("/sys/fs/cgroup")
    places = [root, *(root / name for name in ("memory", "cpu"))]
    if any((place / "cgroup.procs").exists() and os.access(place, os.W_OK) for place in places):
        return ""
    return f"{root} can not be written"


def _postgresql() -> str:
    found = [*Path(POSTGRESQL).glob("*/bin/initdb")]
    return "" if found or program("initdb") else "there is no program initdb"


def _apt(*packages: str) -> str:
    return f"apt-get install {' '.join(packages)}"


TOOLS: Final = (
    Tool(
        "mosquitto",
        "the broker of every real box and of the server",
        "no real box, no server and most tests",
        _apt("mosquitto"),
        True,
        _has("mosquitto"),
    ),
    Tool(
        "mkfs.ext4",
        "builds firmware images",
        "no image can be built, so no real box and most tests",
        _apt("e2fsprogs"),
        True,
        _has("mke2fs"),
    ),
    Tool(
        "debugfs",
        "reads release and agent out of an image when a box starts",
        "no real box starts",
        _apt("e2fsprogs"),
        True,
        _has("debugfs"),
    ),
    Tool(
        "chromium",
        "looks at the console as a person does",
        "the tests of pages and the gallery",
        _apt("chromium"),
        True,
        _has("chromium"),
    ),
    Tool(
        "postgresql",
        "the other database that the server runs on",
        "every test that is run on both databases",
        _apt("postgresql"),
        True,
        _postgresql,
    ),
    Tool(
        "fuse",
        "a file system that loses what was not made durable, under a real agent",
        "'sweep power --real --kind fuse' and '--kind faults', scenarios with failing disks",
        _apt("fuse3", "libfuse3-3"),
        False,
        _fuse,
    ),
    Tool(
        "strace",
        "kills a real agent at the k-th system call that changes the disk",
        "'sweep power --real --kind strace'",
        _apt("strace"),
        False,
        _strace,
    ),
    Tool(
        "loop",
        "a real ext4 in a file, which is filled or finds an error",
        "'sweep power --real --kind faults-strace'",
        "apt-get install e2fsprogs mount; be root, with the right to mount",
        False,
        _loop,
    ),
    Tool(
        "netns",
        "a network of its own for a box that must have none",
        "images with the behaviour no_network",
        _apt("util-linux"),
        False,
        _netns,
    ),
    Tool(
        "mountns",
        "host names and sensors of its own for each real box",
        "every scenario on the level of processes: 'run --level proc'",
        "apt-get install util-linux mount; be root, with the right to mount",
        False,
        _mount_namespace,
    ),
    Tool(
        "smalldisk",
        "a real disk of a few megabytes that can be filled",
        "scenarios with disk_full on the level of processes",
        "be root, with the right to mount a tmpfs",
        False,
        _small_disk,
    ),
    Tool(
        "tun",
        "a link that loses and delays packets by a seed",
        "nothing yet: lines of real boxes go through a proxy",
        "modprobe tun, as root",
        False,
        lambda: _opened("/dev/net/tun"),
    ),
    Tool(
        "cgroup",
        "little memory and a slow processor for one box",
        "scenarios about memory and processor on the level of processes",
        "mount -t cgroup2 none /sys/fs/cgroup, as root",
        False,
        _cgroup,
    ),
)
BY_NAME: Final = {tool.name: tool for tool in TOOLS}
