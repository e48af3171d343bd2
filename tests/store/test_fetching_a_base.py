"""The published metadata, asked for by a signer's machine."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from oleada_store import trust_files
from oleada_store.errors import BadMetadataError
from oleada_store.keys import make_online_keys

from tests.support.releases import hold_ceremony

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_a_server_that_does_not_answer_is_named_with_what_to_check(tmp_path: Path) -> None:
    make_online_keys(tmp_path)
    root = hold_ceremony(tmp_path, NOW).files.roots[0]

    with pytest.raises(BadMetadataError, match=r"127\.0\.0\.1:9 can not be used: \w.+ Check the a"):
        trust_files.fetch("http://127.0.0.1:9", root, "VX-410")
