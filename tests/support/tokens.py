"""Real SoftHSM tokens: a folder of them for one test, and the commands that set them up."""

import subprocess
from pathlib import Path
from typing import Final

MODULE: Final = "/usr/lib/softhsm/libsofthsm2.so"
PIN: Final = "4711-secret"
ADMIN_PIN: Final = "0815-admin"


class Drawer:
    """A drawer with tokens in it; the environment of the process must name ``conf``."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.places = home / "plugged-in"
        self.places.mkdir(parents=True)
        self.conf = home / "softhsm2.conf"
        self.conf.write_text(
            f"directories.tokendir = {self.places}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        self.pin_file = home / "pin"
        self.pin_file.write_text(f"{PIN}\n")
        self.pin_file.chmod(0o600)

    def token(self, label: str) -> None:
        """Set up a token called *label*."""
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label,
             "--pin", PIN, "--so-pin", ADMIN_PIN],
            check=True, capture_output=True, env={"SOFTHSM2_CONF": str(self.conf)},
        )  # fmt: skip

    def uri(self, token: str, name: str, *, pin: bool = True) -> str:
        """Return how key *name* in *token* is called, with the file of its PIN or without."""
        source = f"&pin-source=file:{self.pin_file}" if pin else ""
        return f"pkcs11:token={token};object={name}?module-path={MODULE}{source}"

    def pull_out(self) -> None:
        """Take every token away."""
        self.places.rename(self.home / "elsewhere")
        self.places.mkdir()

    def plug_in(self) -> None:
        """Put them back."""
        self.places.rmdir()
        (self.home / "elsewhere").rename(self.places)
