"""Debian's archive through apt: what is there, and fetching it by name and version.

Works for an ordinary user: where the machine's own package lists do not know a
package, ``own_archive`` keeps lists of its own in a folder and asks the same sources.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from oleada_lab.errors import FirmwareLockError, PackageMissingError
from oleada_lab.firmware.image import sha256_of
from oleada_lab.firmware.lock import Package

APT_LIMIT_S: Final = 300
_KERNEL: Final = r"linux-image-(\d+)\.(\d+)\.(\d+)-(\d+)-cloud-"


@dataclass(frozen=True, slots=True)
class Archive:
    """One view of the archive.

    Attributes:
        options: For every apt command, such as where its lists lie.
    """

    options: tuple[str, ...]

    def kernels(self, architecture: str) -> list[str]:
        """Return the names of the cloud kernels' packages, oldest first.

        Those of one series only: their modules are not compressed, so that successive
        images differ by what changed.
        """
        pattern = re.compile(_KERNEL + re.escape(architecture))
        names = self._ask("apt-cache", "pkgnames", "linux-image-").split()
        found = [(tuple(map(int, match.groups())), name) for name in names
                 if (match := pattern.fullmatch(name))]  # fmt: skip
        return [name for _, name in sorted(found) if self.newest(name)]

    def newest(self, name: str) -> str | None:
        """Return the newest version of package *name*, or None if it is not there."""
        policy = self._ask("apt-cache", "policy", name)
        match = re.search(r"^ +Candidate: (\S+)$", policy, re.MULTILINE)
        return match[1] if match and match[1] != "(none)" else None

    def download(self, name: str, version: str, folder: Path) -> Package:
        """Fetch package *name* of *version* into *folder*, and return what it is.

        Raises:
            PackageMissingError: apt can not fetch it; says what apt said.
        """
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as here:
            done = self._apt(["apt-get", "download", f"{name}={version}"], Path(here))
            found = list(Path(here).glob("*.deb"))
            if done.returncode != 0 or len(found) != 1:
                said = done.stderr.strip().splitlines()
                raise PackageMissingError(
                    f"{name} {version} can not be fetched: {said[-1] if said else 'nothing came'}"
                )
            package = Package(name, version, sha256_of(found[0]))
            found[0].replace(folder / package.file_name)
        return package

    def _ask(self, *command: str) -> str:
        return self._apt(list(command), Path.cwd()).stdout

    def _apt(self, command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        if shutil.which(command[0]) is None:
            raise FirmwareLockError(f"{command[0]} is not here; real firmware needs Debian.")
        return subprocess.run(
            [command[0], *self.options, *command[1:]],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=APT_LIMIT_S,
            check=False,
        )


def machine_archive() -> Archive:
    """Return the archive as the machine's own package lists know it."""
    # As root apt would switch to a user who can not write here, and warn about it.
    return Archive(("-o", "APT::Sandbox::User="))


def own_archive(folder: Path, architecture: str) -> Archive:
    """Return the archive through fresh lists of our own under *folder*.

    Raises:
        FirmwareLockError: The archive can not be reached.
    """
    state, cache = folder.resolve() / "state", folder.resolve() / "cache"
    for path in (state / "lists" / "partial", cache / "archives" / "partial"):
        path.mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Sandbox::User": "",
        "Dir::State": str(state),
        "Dir::State::status": "/dev/null",
        "Dir::Cache": str(cache),
    }
    archive = Archive(
        tuple(part for key, value in settings.items() for part in ("-o", f"{key}={value}"))
    )
    done = archive._apt(["apt-get", "update", "-q"], folder)
    if done.returncode != 0:
        raise FirmwareLockError(
            f"The Debian archive can not be reached: {done.stderr.strip()[-300:]}"
        )
    return archive
