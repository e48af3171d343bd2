"""The values of an explanation in the reader's words.

Programs and the command line get them as ``rollouts/explain.py`` writes them; a page
translates what it knows, and shows as it is what is a name, a number or a version.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final

from oleada_server.rollouts.left_alone import Because
from oleada_server.rollouts.states import BoxState, RolloutState, WaveState
from oleada_server.web import left_alone_pages, status, words
from oleada_server.web.words import gettext


def spelt(value: str) -> str:
    """Return *value* for people; a sentence of several parts is translated part by part."""
    if value in (fixed := _fixed()):
        return fixed[value]
    if value in set(RolloutState):
        return status.rollout(value).word
    if value in set(WaveState):
        return status.wave(value).word
    if value.startswith("wave ") and ": " in value:
        return "; ".join(map(_part, value.split("; ")))
    return _part(value)


def _fixed() -> dict[str, str]:
    return {
        "no": gettext("no"),
        "none": gettext("none"),
        "any": gettext("any"),
        "nothing": gettext("nothing"),
        "never": gettext("never"),
        "never heard": gettext("never heard"),
        "revoked": gettext("revoked"),
        "published": gettext("published"),
        "withdrawn": gettext("withdrawn"),
        "signed": gettext("signed"),
        "not signed": gettext("not signed"),
        "no day to come": gettext("no day to come"),
        "not on its list": gettext("not on its list"),
        "on its list, not fit": gettext("on its list, but not fit"),
        "fits, but was not among those drawn": gettext("fits, but was not among those drawn"),
        "fits only by now": gettext("fits only by now"),
    }


def _part(text: str) -> str:
    for pattern, say in _PATTERNS:
        if found := pattern.fullmatch(text):
            return say(found)
    return _fixed().get(text, text)


def _wave(found: re.Match[str]) -> str:
    return gettext("wave %(n)s: %(why)s", n=found[1], why=_part(found[2]))


def _tried(found: re.Match[str]) -> str:
    return gettext("%(state)s, attempt %(n)s of %(most)s",
                   state=status.box(found[1]).word, n=found[2], most=found[3])  # fmt: skip


def _left_alone(found: re.Match[str]) -> str:
    because = left_alone_pages.because_word(found[1])
    until = words.moment(datetime.fromisoformat(found[2]))
    return gettext("%(why)s, until %(when)s", why=because, when=until)


_PATTERNS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"wave ([0-9]+)"), lambda found: gettext("wave %(n)s", n=found[1])),
    (re.compile(r"wave ([0-9]+): (.+)"), _wave),
    (re.compile(rf"({'|'.join(BoxState)}), attempt ([0-9]+) of ([0-9]+)"), _tried),
    (re.compile(rf"({'|'.join(Because)}) until ([^ ,]+)(?:, .*)?"), _left_alone),
    (
        re.compile(r"place ([0-9]+) of ([0-9]+), under ([0-9]+) wanted"),
        lambda found: gettext("place %(at)s of %(all)s, under %(until)s wanted",
                              at=found[1], all=found[2], until=found[3]),
    ),
    (
        re.compile(r"place ([0-9]+) is under ([0-9]+), but it was not there when .+"),
        lambda found: gettext(
            "place %(at)s is under %(until)s, but it was not there when the boxes were fixed",
            at=found[1], until=found[2]),
    ),
    (
        re.compile(r"other ([a-z_, ]+)"),
        lambda found: gettext("has another %(attributes)s", attributes=found[1]),
    ),
    (
        re.compile(r"[A-Z][a-z]{2} ([0-9-]{10} [0-9:]{5})( [^ ]+)?"),
        lambda found: found[1] + (found[2] or ""),
    ),
    (
        re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[^ ]+)"),
        lambda found: words.moment(datetime.fromisoformat(found[1])),
    ),
)  # fmt: skip
