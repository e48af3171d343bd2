"""Text that came from somebody else, made fit to be shown to whoever signs."""


def printable(text: str) -> str:
    """Return *text* with whatever would move the cursor or hide spelt out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
