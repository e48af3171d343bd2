"""What a browser calls itself, in the few words by which its owner knows it; pure."""

import re
from typing import Final

_BROWSERS: Final = (  # the first that fits: most claim to be several others as well
    ("Edg", "Edge"), ("OPR", "Opera"), ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("HeadlessChrome", "Chrome"),
    ("CriOS", "Chrome"), ("Chrome", "Chrome"), ("Version", "Safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Windows", "Windows"),
    ("Mac OS X", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)  # fmt: skip


def browser_name(user_agent: str) -> str:
    """Return ``Firefox 145, Windows`` for what a browser sends; the text itself if unknown."""
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    for mark, name in _BROWSERS:
        if found := re.search(rf"\b{mark}/([0-9]{{1,4}})", user_agent):
            return ", ".join(part for part in (f"{name} {found[1]}", system) if part)
    return user_agent
