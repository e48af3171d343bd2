"""A sweep that was cut off goes on where it was, and never mixes two codes."""

from dataclasses import replace
from pathlib import Path

import pytest
from oleada_lab.errors import LabError
from oleada_lab.real.cuts import Cut
from oleada_lab.real.kept import Keep
from oleada_lab.real.verdict import Fate, Verdict
from oleada_lab.sim.crash import Kept
from oleada_lab.sim.disk import Op

HEAD = {"commit": "0a1b2c", "mutant": None}
CUT = Cut(
    7, Op(7, "rename", "data/journal.tmp", 0, 0, "data/journal.1"), Kept.NONE,
    Verdict(Fate.STUCK, "The box still runs 5.8.1."), "no more", stage="Armed",
    name="rename data/journal.tmp 2",
)  # fmt: skip
KILLED = replace(CUT, is_killed=True, verdict=Verdict(Fate.WELL))
NUMBERS = {CUT.name: 9}


def test_what_was_found_is_found_again_under_the_number_that_the_operation_has_now(
    tmp_path: Path,
) -> None:
    before = Keep(tmp_path / "kept", HEAD)
    before.add("fuse", replace(CUT, first=KILLED), cpu_s=1.5, wall_s=3.0)
    before.add("fuse", KILLED, cpu_s=2.5, wall_s=4.0)

    now = Keep(tmp_path / "kept", HEAD)

    assert now.of("fuse", NUMBERS) == [
        replace(CUT, number=9, first=KILLED),
        replace(KILLED, number=9),
    ]
    assert (now.cpu_s, now.wall_s) == (2.5, 4.0)
    assert now.has("fuse", CUT.name, Kept.NONE, killed=True)
    assert not now.has("fuse", CUT.name, Kept.ALL, killed=True)
    assert not now.has("strace", CUT.name, Kept.NONE, killed=True)
    assert now.of("fuse", {"another operation": 1}) == []


def test_a_third_run_adds_to_what_the_first_two_have_spent(tmp_path: Path) -> None:
    for cut in (CUT, KILLED):
        Keep(tmp_path / "kept", HEAD).add("fuse", cut, cpu_s=1.0, wall_s=2.0)

    assert Keep(tmp_path / "kept", HEAD).cpu_s == 2.0


def test_a_line_that_was_half_written_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    Keep(tmp_path / "kept", HEAD).add("fuse", CUT, cpu_s=1.0, wall_s=2.0)
    with (tmp_path / "kept").open("a") as file:
        file.write('{"kind": "fuse", "cut": {"num')

    Keep(tmp_path / "kept", HEAD).add("fuse", KILLED, cpu_s=1.0, wall_s=2.0)

    assert len(Keep(tmp_path / "kept", HEAD).of("fuse", NUMBERS)) == 2


def test_cuts_of_another_code_are_refused(tmp_path: Path) -> None:
    Keep(tmp_path / "kept", HEAD).add("fuse", CUT, cpu_s=1.0, wall_s=2.0)

    with pytest.raises(LabError, match="name another file"):
        Keep(tmp_path / "kept", {**HEAD, "commit": "ffffff"})


@pytest.mark.parametrize("content", [b"# A page\n", b"{}\n", b"[1]\n", b"\xff\xfe"])
def test_a_file_that_keeps_no_cuts_is_refused_and_left_as_it_is(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_bytes(content)

    with pytest.raises(LabError, match=r"keeps no cuts|can not be read"):
        Keep(tmp_path / "kept", HEAD)
    assert (tmp_path / "kept").read_bytes() == content


def test_without_a_file_it_is_kept_in_memory() -> None:
    keep = Keep(None, HEAD)

    keep.add("fuse", CUT, cpu_s=1.0, wall_s=2.0)

    assert keep.of("fuse", NUMBERS) == [replace(CUT, number=9)]
