"""``oleada-lab firmware``: fetch packages, build real images, lock other packages."""

import argparse
import subprocess
from pathlib import Path
from typing import Any

from oleada_lab.firmware import real
from oleada_lab.firmware.lock import DEFAULT_PATH, read_lock
from oleada_lab.options import folder


def add_commands(commands: Any) -> None:
    """Add ``firmware`` to *commands*, an argparse action of sub-parsers."""
    firmware = commands.add_parser("firmware", help="real images from Debian packages")
    parts = firmware.add_subparsers(dest="part", required=True, metavar="PART")
    fetch = parts.add_parser("fetch", help="bring the locked packages into the cache")
    fetch.set_defaults(run=_fetch)
    build = parts.add_parser("build", help="build every locked image from the cache")
    build.add_argument("--out", type=folder, required=True, help="folder for the images")
    build.set_defaults(run=_build)
    lock = parts.add_parser("lock", help="lock the newest packages of the archive")
    lock.set_defaults(run=_lock)
    for part in (fetch, build, lock):
        part.add_argument("--lock", type=Path, default=DEFAULT_PATH, help="the lock file")
        part.add_argument("--cache", type=folder, default=real.DEFAULT_CACHE, help="package cache")


def _fetch(options: argparse.Namespace) -> int:
    lock = real.fetch(options.lock, options.cache, print)
    print(f"{len(lock.packages)} packages are in {options.cache}, as locked")
    return 0


def _build(options: argparse.Namespace) -> int:
    for built in real.build_all(read_lock(options.lock), options.cache, options.out):
        print(f"{built.sha256}  {built.size_bytes:>11}  {built.path}")
    return 0


def _lock(options: argparse.Namespace) -> int:
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    lock = real.relock(options.lock, done.stdout.strip(), options.cache, print)
    print(f"{options.lock} locks {len(lock.packages)} packages")
    return 0
