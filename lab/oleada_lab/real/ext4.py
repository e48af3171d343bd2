"""A real disk in a file: ext4 as Linux has it, filled, or read-only after an error.

``run/`` of the box on it lies in memory, as on a real one. Needs the right to mount.
Source: ext4(5), "errors=remount-ro"; Linux, Documentation/ABI/testing/sysfs-fs-ext4,
"trigger_fs_error".
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from oleada_lab.clock import monotonic_s, sleep_s
from oleada_lab.errors import MountError
from oleada_lab.real.steps import VOLATILE

DISK_BYTES: Final = 24 << 20
PART_BYTES: Final = 1 << 16
MEMORY_BYTES: Final = 16 << 20
SAYS_OF_DISKS: Final = Path("/sys/fs/ext4")
LAST_BREATH_S: Final = 120
"""For a process that was killed to be gone, on a machine with much to do."""
POLL_S: Final = 0.05
MENDED: Final = (0, 1)
"""What fsck returns when nothing was wrong, or what was is mended."""


class Ext4:
    """An ext4 in the file *image*, mounted at *folder*.

    Attributes:
        box: The folder of the box on it; its ``run`` is in memory.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._image = image
        self._folder = folder
        self._balloon = folder / "balloon"
        self.box = folder / "box"

    def settle(self) -> None:
        """Make everything durable: what is not is lost when an error is found."""
        _run("sync", "--file-system", self.box)

    def fill(self) -> None:
        """Leave no room; what is there may still be removed."""
        with suppress(OSError), self._balloon.open("wb", buffering=0) as balloon:
            while balloon.write(bytes(PART_BYTES)):
                os.fsync(balloon.fileno())

    def fail(self) -> None:
        """Find an error: the kernel refuses every change from now on."""
        (SAYS_OF_DISKS / self._device() / "trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """Have room, no error, and take every change again; the box must be off."""
        with suppress(OSError):  # read-only: then there is no balloon, or it does no harm
            self._balloon.unlink(missing_ok=True)
        with suppress(MountError):  # an error is no less one for being asked to write
            self.settle()
        self.unmount()
        # A copy, for the kernel may still hold the old one: a process with mounts of its own
        # that began in the meantime has it too, read-only for ever.
        fresh = self._image.with_suffix(".new")
        shutil.copyfile(self._image, fresh)
        fresh.replace(self._image)
        self.mount()

    def mount(self) -> None:
        """Check the disk as a box that starts does, and mount it."""
        done = subprocess.run(["e2fsck", "-p", self._image], capture_output=True, check=False)
        if done.returncode not in MENDED:
            raise MountError(f"e2fsck could not mend the disk: {done.stdout.decode()}")
        _run("mount", "-o", "loop,errors=remount-ro", self._image, self._folder)
        run = self.box / VOLATILE
        run.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={MEMORY_BYTES}", "run", run)

    def unmount(self) -> None:
        """Take it away, if it is there: as soon as the last process of the box has ended."""
        until = monotonic_s() + LAST_BREATH_S
        for folder in (self.box / VOLATILE, self._folder):
            while folder.is_mount():
                try:
                    _run("umount", folder)
                except MountError:
                    if monotonic_s() > until:
                        raise
                    sleep_s(POLL_S)

    def _device(self) -> str:
        for line in Path("/proc/self/mounts").read_text().splitlines():
            device, folder, *_ = line.split()
            if folder == str(self._folder):
                return Path(device).name
        raise MountError(f"Nothing is mounted at {self._folder}.")


@contextmanager
def a_disk(home: Path) -> Iterator[Ext4]:
    """Yield an empty disk over directory *home*, mounted; unmount it at the end.

    Raises:
        MountError: nothing may be mounted here.
    """
    folder, image = home.resolve() / "disk", home / "disk.img"
    folder.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", image)
    disk = Ext4(image, folder)
    try:
        disk.mount()
        yield disk
    finally:
        disk.unmount()


def _run(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise MountError(f"There is no program {command[0]}.") from error
    if done.returncode:
        raise MountError(f"{command[0]} failed: {done.stderr.strip()}")
