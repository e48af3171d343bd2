"""The signer's machine of the lab, and ``oleada`` as a program."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from oleada_store.keys import draw_passphrase

from oleada_lab.errors import OperatorError

_WARNING: Final = """\
The keys in this folder sign for a demo: their passphrase lies beside them. Never trust
them on a box that somebody owns; docs/how-to/sign-a-release.md says how to make real ones.
"""
RELEASE_KEYS: Final = ("release-signer", "approver")
WAVE_KEYS: Final = ("wave-approver-1", "wave-approver-2")


class Signer:
    """The signer's machine: the offline keys, and the commands that use them.

    The passphrase is drawn and kept beside the keys, readable by their owner only: these
    keys sign for a demo. A real operator's passphrase is in somebody's head.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @property
    def tuf_dir(self) -> Path:
        """The metadata of the ceremony, which the server is given once."""
        return self.folder / "keys" / "tuf"

    @property
    def is_ready(self) -> bool:
        """Whether the ceremony has been held."""
        return (self.tuf_dir / "targets.json").exists()

    def hold_ceremony(
        self, online_public: Path, hardware_models: Sequence[str], *, waves_by_people: bool
    ) -> None:
        """Make the offline keys that sign for *hardware_models*.

        Approvers sign waves if *waves_by_people*, else the server does.

        Raises:
            OperatorError: The ceremony failed; says why.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._passphrase_file.exists():
            descriptor = os.open(self._passphrase_file, os.O_WRONLY | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(draw_passphrase() + "\n")
            (self.folder / "README").write_text(_WARNING)
        models = [part for model in hardware_models for part in ("--model", model)]
        run_oleada(
            *("keys", "init", "--out", self.folder / "keys", "--online", online_public),
            *models,
            *([] if waves_by_people else ["--waves-by-server"]),
            *self._with_passphrase,
        )

    def sign_waves(self, file: Path) -> None:
        """Sign every wave in *file* as two approvers do, each on their own machine.

        Raises:
            OperatorError: It can not be signed; says why.
        """
        for name in WAVE_KEYS:
            key = self.folder / "keys" / f"{name}.pem"
            run_oleada("rollout", "sign", file, "--key", key, "--yes", *self._with_passphrase)

    def bundle(
        self,
        image: Path,
        hardware_model: str,
        version: str,
        base: Path,
        notes: Mapping[str, str],
        *,
        security_version: int = 1,
        more: Sequence[str] = (),
    ) -> Path:
        """Return a new bundle of *image* that release signer and approver have signed.

        Args:
            image: The image file.
            hardware_model: Such as ``VX-410``.
            version: Such as ``5.8.2``.
            base: The directory of what is published now.
            notes: By language; ``en`` is needed.
            security_version: At least 1.
            more: Further words for ``oleada release build``.

        Raises:
            OperatorError: It can not be built or signed; says why.
        """
        out = self.folder / f"{hardware_model}-{version}.oleada"
        words = [part for tag, text in notes.items() for part in ("--note", f"{tag}={text}")]
        run_oleada(
            *("release", "build", image, "--model", hardware_model, "--version", version),
            *("--security-version", str(security_version), "--base", base, "-o", out),
            *words,
            *more,
        )
        for name in RELEASE_KEYS:
            key = self.folder / "keys" / f"{name}.pem"
            run_oleada("release", "sign", out, "--key", key, "--yes", *self._with_passphrase)
        return out

    @property
    def _passphrase_file(self) -> Path:
        return self.folder / "DEMO-PASSPHRASE"

    @property
    def _with_passphrase(self) -> tuple[str | Path, ...]:
        return ("--passphrase-file", self._passphrase_file)


def run_oleada(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """Run ``oleada`` with *arguments*; return what it printed.

    Raises:
        OperatorError: It failed; the message is its own.
    """
    done = subprocess.run(
        oleada_command(*map(str, arguments)),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-600:]
        words = " ".join(map(str, arguments[:3]))
        raise OperatorError(f"`oleada {words} …` failed: {said}")
    return done.stdout


def oleada_command(*arguments: str) -> list[str]:
    """Return the command line of ``oleada`` of this very installation."""
    return [str(Path(sys.executable).with_name("oleada")), *arguments]
