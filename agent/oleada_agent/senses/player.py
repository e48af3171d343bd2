"""What the media player says of itself: asked over its socket, and not believed."""

import re
from pathlib import Path
from typing import Final

from oleada_wire.readings import STB, field_of

from oleada_agent.senses.mediasocket import MediaError, is_there, talk

TIMEOUT_MS: Final = 2_000
TEXT_CHARS_MAX: Final = 256
READINGS_MAX: Final = 200
LINES_MAX: Final = 20
_WORDS: Final = re.compile(r"[A-Za-z0-9 .,/_()+-]*")
"""What a text may be made of: words of the standard, versions and resolutions are, and
neither addresses, nor links, nor ``name=value``."""
Parameters = dict[str, bool | int | str]


def status(box: Path) -> Parameters:
    """Return the readings of the media player of *box*; none if it has no socket.

    Raises:
        MediaError: it has one, and does not answer as agreed.
    """
    if not is_there(box):
        return {}
    found: Parameters = {}
    with talk(box, TIMEOUT_MS) as player:
        player.ask("status")
        for _ in range(LINES_MAX):
            line = player.line()
            if "error" in line:
                raise MediaError(f"The media player says {str(line['error'])[:80]!r}.")
            found |= accepted(line.get("values"))
            if line.get("end") is True:
                return dict(list(found.items())[:READINGS_MAX])
    raise MediaError("The media player does not come to an end.")


def accepted(values: object) -> Parameters:
    """Return those of *values* that are readings of the player, of their kind."""
    if not isinstance(values, dict):
        return {}
    return {
        name: value[:TEXT_CHARS_MAX] if isinstance(value, str) else value
        for name, value in values.items()
        if isinstance(name, str) and _is_good(name, value)
    }


def _is_good(name: str, value: object) -> bool:
    if not name.startswith(STB) or len(name) > TEXT_CHARS_MAX:
        return False
    field = field_of(name)
    if field is None or type(value) is not field.kind:
        return False
    if isinstance(value, str):
        return _WORDS.fullmatch(value) is not None
    return isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63)
