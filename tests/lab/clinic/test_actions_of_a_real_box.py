"""Every action of the table, done by a real agent for a real server over every real door."""

from pathlib import Path

import pytest
from oleada_lab.clinic import acting, hostile, running, secrecy
from oleada_lab.clinic.ward import Ward
from oleada_lab.real.tools import missing
from oleada_server.actions.rules import BY_PEOPLE

from tests.support.not_run import MARK


@pytest.mark.real
@pytest.mark.timeout(900)
def test_a_real_box_does_the_whole_table_tells_no_secret_and_stands_what_comes(
    tmp_path: Path,
) -> None:
    if why := missing(*running.TOOLS):
        pytest.skip(f"{MARK}{why}")

    with Ward.open(tmp_path) as ward:
        found = acting.table(ward)
        attacked = hostile.play(ward)

    assert found["wrong"] == []
    done = set(found["actions"])
    assert done == {one.name for one in BY_PEOPLE} - {"factory_reset"}
    assert found["factory_reset"]["confirmed_by"] == "user:second"
    assert found["secrets"]["planted"] >= 10
    assert hostile.wrong(attacked) == []


def test_a_secret_that_lies_anywhere_is_found_also_where_pieces_meet(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    secret = "tok-0123456789"
    where = secrecy.CHUNK_BYTES - 5
    (tmp_path / "deep" / "file").write_bytes(b"x" * where + secret.encode() + b"y")

    assert secrecy.found(tmp_path, {"a token": secret}) == ["a token is in deep/file"]
    assert secrecy.found(tmp_path, {"a token": "tok-other"}) == []
