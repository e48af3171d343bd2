"""Real firmware: two successive images of Debian's kernel, modules, busybox and our agent.

``fetch`` is set-up and may use the network; ``build`` uses the cache and the lock only.
"""

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from oleada_lab.errors import FirmwareLockError, PackageMissingError
from oleada_lab.firmware.archive import Archive, machine_archive, own_archive
from oleada_lab.firmware.image import (
    BUILT_AT_S,
    BuiltImage,
    ImageSpec,
    build_image,
    sha256_of,
)
from oleada_lab.firmware.lock import Lock, LockedImage, Package, read_lock, write_lock

IMAGE_BYTES_MIN: Final = 60_000_000
DEFAULT_CACHE: Final = Path("var/firmware-cache")
VERSIONS: Final = ("5.8.1", "5.8.2")
LEAVE_OUT: Final = (
    # A television box has no such hardware and serves no such disks.
    "lib/modules/*/kernel/drivers/comedi",
    "lib/modules/*/kernel/drivers/infiniband",
    "lib/modules/*/kernel/drivers/md",
    "lib/modules/*/kernel/drivers/scsi",
    "lib/modules/*/kernel/drivers/target",
    "lib/modules/*/kernel/fs/btrfs",
    "lib/modules/*/kernel/fs/ceph",
    "lib/modules/*/kernel/fs/nfsd",
    "lib/modules/*/kernel/fs/ocfs2",
    "lib/modules/*/kernel/fs/xfs",
    "usr/share/doc/*/changelog*",
    "usr/share/doc/*/examples",
)
"""What ``lock_from`` writes into a new lock."""

Say = Callable[[str], None]


def fetch(lock_path: Path, cache: Path, say: Say) -> Lock:
    """Bring every locked package into *cache*; return the lock that is in force then.

    Where a package has left the archive, says so, locks what is there instead and
    writes *lock_path* anew.

    Raises:
        FirmwareLockError: The lock can not be read, a package is not what was locked,
            or the archive can not be reached.
    """
    cache.mkdir(parents=True, exist_ok=True)
    lock = read_lock(lock_path)
    missing = [package for package in lock.packages if not _is_cached(package, cache)]
    try:
        _download_all(machine_archive(), missing, cache, say)
    except PackageMissingError:
        archive = own_archive(cache / "apt", lock.architecture)
        try:
            _download_all(archive, missing, cache, say)
        except PackageMissingError as gone:
            say(f"{gone}; locking what the archive has now")
            lock = lock_from(archive, lock.architecture, cache, say)
            write_lock(lock, lock_path)
            say(f"{lock_path} is new; the images are other ones than before")
    return lock


def relock(lock_path: Path, architecture: str, cache: Path, say: Say) -> Lock:
    """Write a new lock of what the archive has now, and return it.

    Raises:
        FirmwareLockError: The archive can not be reached, or lacks a package.
    """
    cache.mkdir(parents=True, exist_ok=True)
    lock = lock_from(own_archive(cache / "apt", architecture), architecture, cache, say)
    write_lock(lock, lock_path)
    return lock


def lock_from(archive: Archive, architecture: str, cache: Path, say: Say) -> Lock:
    """Return a lock of the two newest kernels and the newest busybox of *archive*.

    Raises:
        FirmwareLockError: The archive has fewer than two kernels, or no busybox.
    """
    kernels = archive.kernels(architecture)[-len(VERSIONS) :]
    if len(kernels) < len(VERSIONS):
        raise FirmwareLockError(
            f"The archive has {len(kernels)} cloud kernels for {architecture}; two are needed."
        )
    names = [*kernels, "busybox-static"]
    packages = {}
    for name in names:
        version = archive.newest(name)
        if version is None:
            raise FirmwareLockError(f"The archive has no {name} for {architecture}.")
        packages[name] = archive.download(name, version, cache)
        say(f"locked {name} {version}")
    images = (
        LockedImage(version, (packages[kernel], packages["busybox-static"]))
        for version, kernel in zip(VERSIONS, kernels, strict=True)
    )
    return Lock("VX-410", architecture, BUILT_AT_S, LEAVE_OUT, tuple(images))


def build(
    lock: Lock, image: LockedImage, cache: Path, out: Path, *, behaviour: str = "good"
) -> BuiltImage:
    """Build one real *image* of *lock* into the file *out*.

    Raises:
        FirmwareLockError: A package is not in *cache*; says how to bring it there.
        ImageError: The image can not be built, or is smaller than a real one.
    """
    spec = ImageSpec(
        lock.hardware_model, image.version, behaviour=behaviour, provides=("codec:h264",)
    )
    # Beside the image, not in /tmp: a tree of 100 MB may not fit into a tmpfs.
    with tempfile.TemporaryDirectory(prefix=".tree-", dir=out.parent) as folder:
        tree = Path(folder, "root")
        tree.mkdir()
        for package in image.packages:
            _unpack(package, cache, tree)
        _leave_out(lock.leave_out, tree)
        _finish_tree(tree, spec)
        built = build_image(spec, tree, out, built_at_s=lock.built_at_s)
    if built.size_bytes < IMAGE_BYTES_MIN:
        raise FirmwareLockError(
            f"{out} has {built.size_bytes} bytes; a real image has {IMAGE_BYTES_MIN} or more."
        )
    return built


def build_all(lock: Lock, cache: Path, folder: Path) -> list[BuiltImage]:
    """Build every image of *lock* as ``<folder>/<model>-<version>.img``, oldest first.

    Raises:
        FirmwareLockError: A package is not in *cache*; says how to bring it there.
        ImageError: An image can not be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        build(lock, image, cache, folder / f"{lock.hardware_model}-{image.version}.img")
        for image in lock.images
    ]


def _download_all(archive: Archive, wanted: list[Package], cache: Path, say: Say) -> None:
    for package in wanted:
        got = archive.download(package.name, package.version, cache)
        if got.sha256 != package.sha256:
            (cache / package.file_name).unlink()
            raise FirmwareLockError(
                f"{package.name} {package.version} has SHA-256 {got.sha256}, but "
                f"{package.sha256} is locked. Do not use it; find out why they differ."
            )
        say(f"fetched {package.name} {package.version}")


def _is_cached(package: Package, cache: Path) -> bool:
    path = cache / package.file_name
    return path.is_file() and sha256_of(path) == package.sha256


def _unpack(package: Package, cache: Path, tree: Path) -> None:
    if not _is_cached(package, cache):
        raise FirmwareLockError(
            f"{package.name} {package.version} is not in {cache}; type: oleada-lab firmware fetch"
        )
    done = subprocess.run(
        ["dpkg-deb", "-x", str(cache / package.file_name), str(tree)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FirmwareLockError(f"{package.file_name} can not be unpacked: {done.stderr.strip()}")


def _leave_out(patterns: tuple[str, ...], tree: Path) -> None:
    for pattern in patterns:
        for path in sorted(tree.glob(pattern)):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            _remove(child)
        path.rmdir()
    else:
        path.unlink()


def _finish_tree(tree: Path, spec: ImageSpec) -> None:
    """Add what makes the packages a system: a shell, an init and a name."""
    for name in ("bin/sh", "sbin/init"):
        link = tree / name
        link.parent.mkdir(exist_ok=True)
        if not link.is_symlink():
            os.symlink("/bin/busybox", link)
    etc = tree / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "os-release").write_text(
        f'ID=oleada\nNAME="Oleada {spec.hardware_model}"\nVERSION_ID={spec.version}\n'
    )
