"""The tests of a fresh checkout, compiled once for all workers instead of by each.

pytest rewrites the assertions of each file that it collects and keeps the bytecode. Workers
that collect the same files at the same time would all do so; here each does a part before.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from _pytest.assertion import rewrite


def compile_a_part(config: pytest.Config) -> None:
    """Keep the bytecode of this worker's part of the tests; does nothing outside a worker."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or sys.dont_write_bytecode:
        return
    at, workers = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for path in _tests(config.rootpath, config.args)[at::workers]:
        _keep(config, path)


def _tests(root: Path, arguments: Sequence[str]) -> list[Path]:
    places = [root / argument.partition("::")[0] for argument in arguments]
    found = (path for place in places for path in place.rglob("test_*.py") if place.is_dir())
    return sorted({*found, *(place for place in places if place.is_file())})


def _keep(config: pytest.Config, path: Path) -> None:
    folder = rewrite.get_cache_dir(path)
    kept = folder / f"{path.stem}{rewrite.PYC_TAIL}"
    if rewrite._read_pyc(path, kept) is None and rewrite.try_makedirs(folder):
        source, code = rewrite._rewrite_test(path, config)
        rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source, kept)
