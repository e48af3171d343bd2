"""The secrets that this box has itself, so that they are recognised wherever they turn up."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 256 * 1024
FOLDERS: Final = ("etc/wpa_supplicant", "etc/NetworkManager/system-connections", "etc/iwd")
SECRET_FILES: Final = ("data/claim-token",)
_SETTING: Final = re.compile(
    r"(?im)^\s*(?:psk|ssid|password|sae_password|passphrase)\s*=\s*(.+?)\s*$"
)


def secrets_of(box: Path, machine: Path = Path("/")) -> frozenset[str]:
    """Return what must not leave the box: addresses, Wi-Fi names and passwords, tokens."""
    found = set(_addresses(machine))
    for folder in FOLDERS:
        with suppress(OSError):
            for path in sorted((machine / folder).iterdir()):
                found |= {one.strip("\"'") for one in _SETTING.findall(_text(path))}
    for name in SECRET_FILES:
        found.add(_text(box / name).strip())
    return frozenset(found - {""})


def _addresses(machine: Path) -> list[str]:
    with suppress(OSError):
        texts = [_text(one / "address").strip() for one in (machine / "sys/class/net").iterdir()]
        real = [one for one in texts if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", one)]
        used = [one for one in real if one != "00:00:00:00:00:00"]
        return [spelt for one in used for spelt in (one, one.replace(":", ""))]
    return []


def _text(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    return ""
