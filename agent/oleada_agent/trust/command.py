"""``oleada-agent tuf``: the verifier for engineers and for other people's test suites.

Plain policy of the specification; the directory holds the trusted metadata under plain
names, and a target that lies there already with the signed hashes is not fetched again.
"""

import argparse
import http.client
import os
import sys
from collections.abc import Callable
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from oleada_agent import clock
from oleada_agent.disk import RealDisk
from oleada_agent.errors import StorageError
from oleada_agent.health import utc
from oleada_agent.trust import client, metadata, reading
from oleada_agent.trust.client import SPECIFICATION, TrustedClient, check_root_by_itself
from oleada_agent.trust.errors import (
    EndlessDataError,
    MissingMetadataError,
    TrustError,
    WrongHashError,
)
from oleada_agent.trust.store import MetadataStore

TIMEOUT_S: Final = 30
PART_BYTES: Final = 256 * 1024


def run(options: argparse.Namespace) -> int:
    """Do one step; return 0 when everything is trusted, 1 when something was refused."""
    try:
        if options.step == "init":
            _init(options.metadata_dir, options.root)
        elif options.step == "refresh":
            _client(options).refresh()
        else:
            _download(options)
    except TrustError as error:
        sys.stderr.write(f"oleada-agent tuf: refused ({error.attack}): {error}\n")
    except (OSError, StorageError, http.client.HTTPException, ValueError) as error:
        sys.stderr.write(f"oleada-agent tuf: {type(error).__name__}: {error}\n")
    else:
        return 0
    return 1


def fetch(url: str, size_bytes_max: int) -> bytes | None:
    """Return what is at *url*, at most one byte more than the limit; None when it is not there.

    Raises:
        OSError: the server can not be reached, or answers something else.
    """
    parts: list[bytes] = []
    is_there = _stream(url, size_bytes_max, parts.append)
    return b"".join(parts) if is_there else None


def _stream(url: str, size_bytes_max: int, take: Callable[[bytes], object]) -> bool:
    """Hand over what is at *url*, in parts; return whether there is anything."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        if response.status in (403, 404):
            return False
        if response.status != 200:
            raise OSError(f"{url} answered {response.status}")
        left = size_bytes_max + 1
        while left and (part := response.read(min(left, PART_BYTES))):
            take(part)
            left -= len(part)
        if left and response.length:
            raise OSError(f"{url} was cut {response.length} bytes before its end")
        return True
    finally:
        connection.close()


def _init(directory: Path, root: Path) -> None:
    data = root.read_bytes()
    check_root_by_itself(reading.root(data, client.ROOT_BYTES_MAX), SPECIFICATION)
    MetadataStore(RealDisk(directory), copies=1).write("root", data)


def _client(options: argparse.Namespace) -> TrustedClient:
    base = _needed(options.metadata_url, "--metadata-url").rstrip("/")
    store = MetadataStore(RealDisk(options.metadata_dir), copies=1)
    return TrustedClient(
        store, lambda name, limit: fetch(f"{base}/{name}", limit), utc(clock.now_ms()),
        SPECIFICATION,
    )  # fmt: skip


def _download(options: argparse.Namespace) -> None:
    name = _needed(options.target_name, "--target-name")
    base = _needed(options.target_base_url, "--target-base-url").rstrip("/")
    directory: Path = options.target_dir
    if directory is None:
        raise ValueError("--target-dir is needed")
    trusted = _client(options)
    trusted.refresh()
    target = trusted.find(name)
    path = directory / quote(name, safe="")
    if _is_there(path, target):
        return
    folder, slash, last = target.path.rpartition("/")
    if trusted.root.consistent_snapshot:
        last = f"{next(iter(target.hashes.values()))}.{last}"
    directory.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{sha256(path.name.encode()).hexdigest()[:16]}.part")
    try:
        with open(beside, "wb") as file:
            found = _stream(f"{base}/{quote(folder + slash + last)}", target.length, file.write)
            file.flush()
            os.fsync(file.fileno())
        if not found:
            raise MissingMetadataError(f"The repository has no target '{name}'.")
        _check(beside, target)
        os.replace(beside, path)
        RealDisk(directory).fsync_dir("")
    finally:
        beside.unlink(missing_ok=True)


def _check(path: Path, target: metadata.Target) -> None:
    size_bytes = path.stat().st_size
    if size_bytes > target.length:
        raise EndlessDataError(target.path, target.length)
    if size_bytes != target.length:
        raise WrongHashError(
            f"'{target.path}' has {size_bytes} bytes; {target.length} were signed."
        )
    for algorithm, expected in target.hashes.items():
        if algorithm not in metadata.HASHES:
            raise WrongHashError(f"'{target.path}' is signed by an unknown digest, {algorithm}.")
        with open(path, "rb") as file:
            if file_digest(file, algorithm).hexdigest() != expected:
                raise WrongHashError(f"'{target.path}' does not have the signed {algorithm}.")


def _is_there(path: Path, target: metadata.Target) -> bool:
    try:
        _check(path, target)
    except (OSError, TrustError):
        return False
    return True


def _needed(value: str | None, name: str) -> str:
    if not value:
        raise ValueError(f"{name} is needed")
    return value
