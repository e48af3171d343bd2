"""Secrets planted around a real box, and every place where they are looked for afterwards.

A Wi-Fi name and password, hardware addresses, titles that are watched, tokens: in the box's
files, its logs, what its media player says and what goes over its network. After every
action none of them may be in what the server keeps: its database, logs, uploads, the
broker's memory. What belongs somewhere is named with its place.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from oleada_lab.clinic.ward import Guest
from oleada_lab.media.daemon import SECRETS as SAID_BY_PLAYER

PLANTED: Final[Mapping[str, str]] = {
    "Wi-Fi password": "correct-horse-battery-91",
    "Wi-Fi name": "Casa de Nadie 91",
    "token of a login": "tok-login-919191",
    "title watched": "A Film Nobody Should Know 91",
    "password in a link": "linkpw-919191",
    "key": "MIIEvQIBADANBgkq919191",
}
LOG: Final = """\
2026-07-01T12:00:00Z player: start, title={title watched}
2026-07-01T12:00:01Z wpa: ssid={Wi-Fi name} psk={Wi-Fi password}
2026-07-01T12:00:02Z wpa: joined {Wi-Fi name} with {Wi-Fi password} from {mac}
2026-07-01T12:00:03Z http: Authorization: Bearer {token of a login}
2026-07-01T12:00:04Z ftp://joe:{password in a link}@host/file
2026-07-01T12:00:05Z -----BEGIN PRIVATE KEY-----
{key}
-----END PRIVATE KEY-----
2026-07-01T12:00:06Z decoder: reset after 3 errors
"""
KEPT_LINE: Final = "decoder: reset after 3 errors"
"""What is no secret, and has to arrive."""
CHUNK_BYTES: Final = 1 << 20


def plant(guest: Guest) -> dict[str, str]:
    """Plant every secret around the box, which runs; return them by what they are."""
    room, box = guest.patient.room, guest.patient.directory
    secrets = {**PLANTED, "address of the Wi-Fi": room.mac(2)}
    network = room.room / "etc/wpa_supplicant/wlan0.conf"
    network.write_text(
        f'network={{\n  ssid="{secrets["Wi-Fi name"]}"\n  psk="{secrets["Wi-Fi password"]}"\n}}\n'
    )
    text = LOG.replace("{mac}", room.mac(2))
    for name, secret in PLANTED.items():
        text = text.replace("{" + name + "}", secret)
    for name in ("player.log", "agent.log"):
        with (box / "run" / name).open("a") as file:
            file.write(text)
    (room.room / "proc/200/cmdline").write_text(f"player\0--token={PLANTED['token of a login']}\0")
    for number, (path, said) in enumerate(SAID_BY_PLAYER.items()):
        name = path.split("STBService.1.", 1)[1]
        guest.patient.player.readings[name] = said
        secrets[f"said by the player {number}"] = said.rpartition("=")[2]
    secrets["claim token"] = (box / "data/claim-token").read_text().strip() or "no token left"
    return secrets


def found(folder: Path, secrets: Mapping[str, str]) -> list[str]:
    """Return a sentence for each of *secrets* that a file under *folder* holds."""
    wanted = {what: secret.encode() for what, secret in secrets.items()}
    return [
        f"{what} is in {path.relative_to(folder)}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for what in _in_file(path, wanted)
    ]


def _in_file(path: Path, wanted: Mapping[str, bytes]) -> Iterator[str]:
    longest = max(map(len, wanted.values()))
    left, tail = dict(wanted), b""
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            text = tail + data
            for what in [name for name, secret in left.items() if secret in text]:
                del left[what]
                yield what
            tail = text[-longest:]
