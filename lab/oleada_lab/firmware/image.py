"""Build an image: a raw ext4 file system with our header in its boot block.

The same tree gives the same bytes, whoever builds it, where and when. ``mke2fs -d``
alone does not: with UUID, hash seed and its clock (``E2FSPROGS_FAKE_TIME``) fixed,
e2fsprogs 1.47.0 still copies owner and times of the staged files into the inodes, and
no one can set a file's ctime. So a second pass (``debugfs -w``) gives every inode one
owner and one time. The bytes are promised for one version of e2fsprogs only.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from oleada_agent.boot.image import seal_header

from oleada_lab.errors import ImageError
from oleada_lab.firmware.agent_zipapp import build_zipapp

FILE_SYSTEM_ID: Final = "6f6c6561-6461-4f53-8000-000000000001"
"""UUID and hash seed of every image: two images differ only in what they hold."""
BUILT_AT_S: Final = 1_735_689_600
"""2025-01-01T00:00:00Z, the time in every inode of an image that names no other."""
BLOCK_BYTES: Final = 4096
INODE_BYTES: Final = 256
MIB: Final = 1024 * 1024
BEHAVIOURS: Final = ("good", "unhealthy", "no_network", "hang", "crash")
_FEATURES: Final = (
    "none,extent,filetype,dir_index,sparse_super,large_file,huge_file,extra_isize,"
    "metadata_csum,64bit,dir_nlink,flex_bg"
)
_MKE2FS_CONF: Final = """\
[defaults]
\tblocksize = 4096
\tinode_size = 256
[fs_types]
\text4 = {
\t}
\tsmall = {
\t}
"""


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What an image says of itself in ``/oleada/release.json``.

    Attributes:
        behaviour: How the rest of the system fares: one of ``BEHAVIOURS``.
        provides: What it can do, such as ``codec:hevc-main10``.
    """

    hardware_model: str
    version: str
    security_version: int = 1
    behaviour: str = "good"
    provides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.behaviour not in BEHAVIOURS:
            raise ImageError(
                f"Behaviour {self.behaviour!r} is not known; write one of {', '.join(BEHAVIOURS)}."
            )


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """An image on disk.

    Attributes:
        sha256: Of the whole file, header and body.
    """

    spec: ImageSpec
    path: Path
    sha256: str
    size_bytes: int


def build_image(
    spec: ImageSpec,
    tree: Path,
    out: Path,
    *,
    built_at_s: int = BUILT_AT_S,
    agent_source: Path | None = None,
) -> BuiltImage:
    """Build *out* from the files under *tree*, and return what was built.

    Adds ``/oleada/release.json`` and ``/oleada/agent.pyz`` to *tree* and makes its modes
    plain: directories and programs 0755, other files 0644.

    Args:
        spec: What the image says of itself.
        tree: The root of the file system; belongs to the build and is changed.
        out: The image; its folder exists. Replaced only when the build has succeeded.
        built_at_s: The time in every inode; seconds of Unix time.
        agent_source: Where the agent's packages lie, if it is not the one that runs here.

    Raises:
        ImageError: e2fsprogs is missing or failed; says how.
    """
    oleada = tree / "oleada"
    oleada.mkdir(exist_ok=True)
    (oleada / "release.json").write_text(json.dumps(asdict(spec), indent=1, sort_keys=True) + "\n")
    build_zipapp(
        oleada / "agent.pyz",
        hardware_model=spec.hardware_model,
        version=spec.version,
        source=agent_source,
    )
    _plain_modes(tree)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        _make_file_system(tree, unfinished, built_at_s)
        _plain_inodes(tree, unfinished, built_at_s)
        seal_header(unfinished, hardware_model=spec.hardware_model, version=spec.version)
        size_bytes = unfinished.stat().st_size
        sha256 = sha256_of(unfinished)
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return BuiltImage(spec, out, sha256, size_bytes)


def build_small_image(
    spec: ImageSpec, out: Path, *, system_bytes: int = 2 * MIB, agent_source: Path | None = None
) -> BuiltImage:
    """Build an image with the agent and *system_bytes* that stand for a system.

    The bytes are drawn from model and version, so that two versions differ everywhere
    and nothing can be saved by luck.

    Raises:
        ImageError: e2fsprogs is missing or failed; says how.
    """
    dice = random.Random(f"{spec.hardware_model}/{spec.version}/{spec.behaviour}")
    with tempfile.TemporaryDirectory(prefix="oleada-image-") as folder:
        tree = Path(folder, "tree")
        (tree / "system").mkdir(parents=True)
        (tree / "system" / "base.bin").write_bytes(dice.randbytes(system_bytes))
        return build_image(spec, tree, out, agent_source=agent_source)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file at *path*; 64 lowercase hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain_modes(tree: Path) -> None:
    for path in _walk(tree):
        if path.is_symlink():
            continue
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    tree.chmod(0o755)


def _walk(tree: Path) -> Iterator[Path]:
    """Yield everything under *tree*, parents first, in one order on every machine."""
    for entry in sorted(tree.iterdir(), key=lambda path: path.name):
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from _walk(entry)


def _make_file_system(tree: Path, image: Path, built_at_s: int) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="oleada-mke2fs-", suffix=".conf") as conf:
        # The machine's own mke2fs.conf may name other defaults.
        conf.write(_MKE2FS_CONF)
        conf.flush()
        blocks, inodes = _room_for(tree)
        options = f"hash_seed={FILE_SYSTEM_ID},lazy_itable_init=0,root_owner=0:0,nodiscard"
        _run(
            [
                *("mke2fs", "-q", "-F", "-t", "ext4", "-b", str(BLOCK_BYTES), "-m", "0"),
                *("-I", str(INODE_BYTES), "-N", str(inodes), "-O", _FEATURES, "-E", options),
                *("-U", FILE_SYSTEM_ID, "-L", "oleada", "-d", str(tree), str(image), str(blocks)),
            ],
            built_at_s,
            {"MKE2FS_CONFIG": conf.name},
        )


def _room_for(tree: Path) -> tuple[int, int]:
    """Return blocks and inodes that hold *tree*, from sizes alone."""
    inodes, blocks = 16, 0  # ext4 keeps eleven inodes for itself
    for path in _walk(tree):
        inodes += 1
        if path.is_dir():
            blocks += 1 + sum(1 for _ in path.iterdir()) // 60
        else:
            blocks += 1 + -(-path.lstat().st_size // BLOCK_BYTES)
    tables = -(-inodes * INODE_BYTES // BLOCK_BYTES)
    per_mib = MIB // BLOCK_BYTES
    whole = (blocks + tables) * 102 // 100 + per_mib
    return -(-whole // per_mib) * per_mib, inodes


def _plain_inodes(tree: Path, image: Path, built_at_s: int) -> None:
    """Give every inode of *image* owner 0 and the time of the build."""
    names = ["/", "/lost+found"]
    names += [f"/{path.relative_to(tree).as_posix()}" for path in _walk(tree)]
    strange = [name for name in names if any(sign in name for sign in '"\n')]
    if strange:
        raise ImageError(f"A file can not be named {strange[0]!r} in an image; rename it.")
    fields = [("uid", 0), ("gid", 0)]
    fields += [(name, built_at_s) for name in ("atime", "ctime", "mtime", "crtime")]
    script = "".join(
        f'set_inode_field "{name}" {field} {_spelt(field, value)}\n'
        for name in names
        for field, value in fields
    )
    with tempfile.NamedTemporaryFile("w", prefix="oleada-debugfs-") as commands:
        commands.write(f"set_current_time @{built_at_s}\n{script}")
        commands.flush()
        said = _run(["debugfs", "-w", "-f", commands.name, str(image)], built_at_s, {})
    complaints = [line for line in said.splitlines() if line.startswith(("set_inode", "set_cur"))]
    if complaints:
        raise ImageError(f"debugfs could not set the inodes of {image}: {complaints[0]}")


def _spelt(field: str, value: int) -> str:
    return f"@{value}" if field.endswith("time") else str(value)


def _run(command: list[str], built_at_s: int, extra: dict[str, str]) -> str:
    """Run an e2fsprogs *command*; return what it said on standard error."""
    if shutil.which(command[0]) is None:
        raise ImageError(f"{command[0]} is not here; type: apt-get install e2fsprogs")
    environment = {
        **os.environ,
        **extra,
        "E2FSPROGS_FAKE_TIME": str(built_at_s),
        "LC_ALL": "C",
        "TZ": "UTC",
        "PAGER": "cat",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ImageError(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()[-400:]}")
    return done.stderr
