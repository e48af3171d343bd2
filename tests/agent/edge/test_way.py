"""The way to a release: what a box must be able to do, and versions that it may not skip."""

from pathlib import Path
from typing import Any

import pytest
from oleada_agent.machine_events import Authorised, AuthorityRefused
from oleada_agent.trust.authority import Box
from oleada_wire.messages import Deny
from oleada_wire.words import Reason

from tests.agent.edge.repository import MODEL, Repository
from tests.agent.edge.test_authority import DEVICE, PATH, Bench, a_header, reason_of


def a_bench_with(home: Path, other: str, **custom: Any) -> Bench:
    """Return a bench whose model has the release *other* beside the usual one."""
    repository = Repository()
    repository.add_target(other, b"another image", **custom)
    repository.publish(MODEL)
    bench = Bench(repository, home)
    bench.authority.accept_meta(bench.meta())
    bench.accept_wave(bench.wave())
    return bench


@pytest.mark.parametrize(
    ("version", "runs", "is_refused"),
    [
        ("5.8.1.5", "5.8.1", True),
        ("5.8.1.5", "5.8.1.5", False),
        ("5.8.1", "5.8.1", False),
        ("5.8.3", "5.8.1", False),
        ("5.8.1.5", "unknown", True),
    ],
)
def test_a_box_goes_through_each_signed_version_that_none_may_skip(
    tmp_path: Path, version: str, runs: str, is_refused: bool
) -> None:
    bench = a_bench_with(tmp_path, f"{MODEL}/{version}.img", version=version, must_pass=True)

    found = bench.decide(bench.assignment(), version=runs)

    assert isinstance(found, AuthorityRefused) is is_refused
    if is_refused:
        assert reason_of(found) is Reason.BELOW_MINIMUM_VERSION
        assert version in found.detail


def test_a_version_that_is_denied_may_be_skipped(tmp_path: Path) -> None:
    other = f"{MODEL}/5.8.1.5.img"
    bench = a_bench_with(tmp_path, other, version="5.8.1.5", must_pass=True)
    digest = bench.repository.signed[MODEL].signed.targets[other].hashes["sha256"]

    bench.authority.accept_deny(bench.sealed(Deny(a_header(), MODEL, 1, (digest,))))

    assert isinstance(bench.decide(bench.assignment()), Authorised)


def test_a_release_that_needs_what_the_box_can_do_is_taken(tmp_path: Path) -> None:
    repository = Repository()
    repository.add_target(PATH, depends=["drm:widevine-l1"])
    repository.publish(MODEL)
    bench = Bench(repository, tmp_path / "trust")
    bench.authority.accept_meta(bench.meta())
    bench.accept_wave(bench.wave())
    before = bench.decide(bench.assignment())

    bench.authority._box = Box(DEVICE, MODEL, frozenset({"drm:widevine-l1"}))

    assert reason_of(before) is Reason.WRONG_HARDWARE
    assert isinstance(bench.decide(bench.assignment()), Authorised)
