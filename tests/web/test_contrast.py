"""Colours can be told apart: every pair of tokens that meets is measured as WCAG 2.2 says."""

import re
from pathlib import Path

import pytest

TOKENS = Path(__file__).parents[2] / "server/oleada_server/static/css/tokens.css"
PATTERN = r"--([\w-]+):\s*light-dark\((#[0-9a-f]{6}),\s*(#[0-9a-f]{6})\)"
COLOURS = {name: (light, dark) for name, light, dark in re.findall(PATTERN, TOKENS.read_text())}
STATES = ("ok", "live", "wait", "warn", "bad", "off")
TEXT, SHAPE = 4.5, 3.0
PAIRS = [
    *((ink, ground, TEXT) for ink in ("ink", "ink-2", "ink-3", "link")
      for ground in ("canvas", "surface", "sunken", "hover")),
    *((state, ground, TEXT) for state in STATES
      for ground in ("surface", "canvas", "sunken", f"{state}-bg")),
    *((f"{state}-fill", "surface", SHAPE) for state in STATES),
    *((ink, f"{state}-bg", TEXT) for state in STATES for ink in ("ink", "ink-2")),
    ("ink-inverse", "primary", TEXT),
    ("ink-inverse", "primary-hover", TEXT),
    ("control-line", "surface", SHAPE),
    ("control-line", "canvas", SHAPE),
    ("focus", "surface", SHAPE),
    ("focus", "canvas", SHAPE),
]  # fmt: skip


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2, definition)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("look", [0, 1], ids=["light", "dark"])
def test_every_pair_that_meets_has_enough_contrast(look: int) -> None:
    poor = {
        (front, ground): round(found, 2)
        for front, ground, needed in PAIRS
        if (found := contrast(COLOURS[front][look], COLOURS[ground][look])) < needed
    }

    assert poor == {}


def test_black_on_white_is_the_most_there_can_be() -> None:
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
