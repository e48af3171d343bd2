"""Serials and device ids as people read them out: groups of four."""


def group(text: str) -> str:
    """Return *text* in groups of four with dashes; one that has marks of its own stays."""
    if not text.isalnum():
        return text
    return "-".join(text[i : i + 4] for i in range(0, len(text), 4))
