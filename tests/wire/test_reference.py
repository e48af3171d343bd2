"""docs/reference/wire.md says what the code does."""

import re
from pathlib import Path

from oleada_wire import canonical, codec, envelope, messages, topics
from oleada_wire.messages import KINDS, SIGNED

PAGE = Path("docs/reference/wire.md").read_text("utf-8")


def test_every_kind_stands_in_the_table_with_its_form() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE))

    assert set(rows) >= set(KINDS.values())
    for shape, kind in KINDS.items():
        assert rows[kind].startswith("signed by" if shape in SIGNED else "plain")


def test_every_topic_kind_stands_in_the_table_of_topics() -> None:
    for pattern, kinds in (("/up/", topics.Up), ("/down/", topics.Down), ("/m/", topics.Model)):
        [row] = [line for line in PAGE.splitlines() if line.startswith("|") and pattern in line]
        assert set(re.findall(r"`([a-z]+)`", row)) == set(kinds)


def test_the_limits_are_those_of_the_code() -> None:
    for number in (
        codec.STRING_CHARS_MAX,
        codec.ITEMS_MAX,
        messages.UP_BYTES_MAX,
        messages.DOWN_BYTES_MAX,
        canonical.JSON_DEPTH_MAX,
        canonical.INTEGER_BITS_MAX,
        envelope.SIGNATURES_MAX,
    ):
        assert re.search(rf"(?<!\d){number:,}(?!\d)".replace(",", " "), PAGE), number
