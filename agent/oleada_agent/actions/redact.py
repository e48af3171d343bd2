"""Takes out of texts what the desk has no business with, before it leaves the box.

Secrets (Wi-Fi passwords, tokens, keys, cookies, PINs), hardware addresses, what somebody
watches, and whatever this box knows to be secret of its own. Pure.
"""

import re
from collections.abc import Iterable
from typing import Final

GONE: Final = "[removed]"
KNOWN_CHARS_MIN: Final = 6
"""A known secret that is shorter may stand in other words, and is taken out where it is one."""
WORD_CHARS_MIN: Final = 4
"""One that is shorter still may be any word."""
_NAMES: Final = (
    r"psk|wpa_?(?:passphrase|psk)|pass(?:word|phrase|wd)?|secret|token|auth(?:orization)?|"
    r"api[_-]?key|cookie|session(?:[_-]?id)?|pin|private[_-]?key|sae_password|wep_key\d?|"
    r"title|programme?|asset|episode|event_name|search|query|ssid|bssid|e-?mail|phone|uri|url"
)
_RULES: Final = tuple(
    (re.compile(pattern, flags), put)
    for pattern, flags, put in (
        (r"-----BEGIN [A-Z ]{1,40}-----.*?(?:-----END [A-Z ]{1,40}-----|\Z)", re.DOTALL, GONE),
        (r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", 0, GONE),
        (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}", 0, rf"\1 {GONE}"),
        (r"\b[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}\b", 0, GONE),
        (
            rf"(?i)((?:{_NAMES})[\"']?\s*[:=]\s*)"
            r"(\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^,;|&}\]\n]+)",
            0,
            rf"\1{GONE}",
        ),
    )
)


_LINK: Final = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20})://([^\s\"'<>]*)")
_SECRET_VALUES: Final = frozenset((
    "SSID", "BSSID", "MACAddress", "KeyPassphrase", "PreSharedKey", "URI", "URL", "Title",
    "Password", "Username", "Token", "PIN", "SerialNumber", "EndpointID",
))  # fmt: skip
"""Last words of names whose value is never told, whatever it is."""


def is_secret(name: str) -> bool:
    """Return whether the value called *name* must not leave the box."""
    return name.rpartition(".")[2] in _SECRET_VALUES


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Return *text* without what must not leave the box.

    Args:
        known: Texts that are secret on this box: its Wi-Fi password, what is watched.
    """
    for secret in sorted(set(known), key=len, reverse=True):
        if len(secret) >= WORD_CHARS_MIN:
            text = re.sub(_spelt(secret), GONE, text, flags=re.IGNORECASE)
    text = _LINK.sub(_bare_link, text)
    for pattern, put in _RULES:
        text = pattern.sub(put, text)
    return text


def _spelt(secret: str) -> str:
    """Return a pattern of *secret*, whatever blanks are between its words."""
    pattern = r"\s+".join(re.escape(word) for word in secret.split())
    return pattern if len(secret) >= KNOWN_CHARS_MIN else rf"(?<!\w){pattern}(?!\w)"


def _bare_link(found: re.Match[str]) -> str:
    """Return a link without who asks and what is asked for; each is read once."""
    scheme, rest = found.groups()
    cut = min((at for mark in "?#" if (at := rest.find(mark)) >= 0), default=-1)
    place, more = (rest[:cut], f"?{GONE}") if cut >= 0 else (rest, "")
    host, slash, path = place.partition("/")
    who, at, host = host.rpartition("@")
    return f"{scheme}://{GONE if who else ''}{at}{host}{slash}{path}{more}"
