"""Actions of the table, done by a real agent for a real server; all of them are a command."""

from pathlib import Path

import pytest
from oleada_lab.clinic import acting, running, secrecy
from oleada_lab.clinic.ward import Ward
from oleada_lab.real.tools import missing

from tests.support.not_run import MARK

SOME = ("log_pull", "screenshot", "ip_ping", "config_set", "config_undo", "media_status")
"""Text, a file over the device door, the network, a change, and the player."""


@pytest.mark.real
@pytest.mark.timeout(900)
def test_a_real_box_does_what_the_table_says_and_tells_no_secret(tmp_path: Path) -> None:
    if why := missing(*running.TOOLS):
        pytest.skip(f"{MARK}{why}")

    with Ward.open(tmp_path) as ward:
        found = acting.table(ward, SOME)

    assert found["wrong"] == []
    assert set(found["actions"]) == {*SOME, "reboot"}
    assert found["cancelled"]["status"] == "Canceled"
    assert found["factory_reset"]["confirmed_by"] == "user:second"
    assert found["secrets"]["planted"] >= 10


def test_a_secret_that_lies_anywhere_is_found_also_where_pieces_meet(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    secret = "tok-0123456789"
    where = secrecy.CHUNK_BYTES - 5
    (tmp_path / "deep" / "file").write_bytes(b"x" * where + secret.encode() + b"y")

    assert secrecy.found(tmp_path, {"a token": secret}) == ["a token is in deep/file"]
    assert secrecy.found(tmp_path, {"a token": "tok-other"}) == []
