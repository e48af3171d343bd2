"""What the media player says of itself: asked over its socket, and not believed."""

import json
import re
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from oleada_wire.readings import STB, field_of

from oleada_agent.senses.mediasocket import MediaError, is_there, talk

TIMEOUT_MS: Final = 2_000
TEXT_CHARS_MAX: Final = 256
READINGS_MAX: Final = 200
LINES_MAX: Final = 20
RECENT_MAX: Final = 32
PRIVATE_MAX: Final = 8
"""Of one answer."""
PRIVATE_CHARS_MAX: Final = 200
RECENT_BYTES_MAX: Final = 32 * 1024
"""Of all as JSON: an action is told them in its order, which has 64 KiB."""
_WORDS: Final = re.compile(r"[A-Za-z0-9 .,/_()+-]*")
"""What a text may be made of: words of the standard, versions and resolutions are, and
neither addresses, nor links, nor ``name=value``."""
Parameters = dict[str, bool | int | str]


class Watched:
    """What was watched lately, as the player names it, so that no log and no result says it.

    In memory alone: it is on no disk and in no message.
    """

    def __init__(self) -> None:
        self._recent: deque[str] = deque(maxlen=RECENT_MAX)

    def take(self, said: object) -> None:
        """Take note of titles and channels that the player calls private."""
        texts = said[:PRIVATE_MAX] if isinstance(said, list) else []
        for text in texts:
            if isinstance(text, str) and (name := text.strip()[:PRIVATE_CHARS_MAX]):
                with suppress(ValueError):
                    self._recent.remove(name)
                self._recent.append(name)
        while self._recent and len(json.dumps(list(self._recent))) > RECENT_BYTES_MAX:
            self._recent.popleft()

    def recent(self) -> list[str]:
        """Return them, the newest last; may be called from another thread."""
        return list(self._recent.copy())


def status(box: Path, watched: Watched | None = None, timeout_ms: int = TIMEOUT_MS) -> Parameters:
    """Return the readings of the media player of *box*; none if it has no socket.

    Args:
        watched: Is told what must be in no log.

    Raises:
        MediaError: it has one, and does not answer as agreed.
    """
    if not is_there(box):
        return {}
    found: Parameters = {}
    with talk(box, timeout_ms) as player:
        player.ask("status")
        for _ in range(LINES_MAX):
            line = player.line()
            if "error" in line:
                raise MediaError(f"The media player says {str(line['error'])[:80]!r}.")
            found |= accepted(line.get("values"))
            if watched is not None:
                watched.take(line.get("private"))
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
