"""The signer's commands: what they print, what they ask, and how they fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from oleada_store import keys
from oleada_store.cli import keys_group, release_group
from oleada_store.trust_files import read_directory


class Shell:
    """A directory in which commands are typed, with a passphrase file beside."""

    def __init__(self, folder: Path, held: Path | None = None) -> None:
        self.folder, self._held = folder, held
        (folder / "passphrase").write_text("correct horse\n")
        (folder / "box.img").write_bytes(b"an image" * 100)

    def type(self, group: click.Group, *words: object, keyboard: str = "") -> Result:
        """Run one command and return how it went."""
        return CliRunner().invoke(group, [str(word) for word in words], input=keyboard)

    def ceremony(self) -> Path:
        """Return the directory of a ceremony: a copy of the one that was held, or a new one.

        A ceremony derives six keys with scrypt, which is slow on purpose.
        """
        if self._held is not None:
            shutil.copytree(self._held, self.folder, dirs_exist_ok=True)
            return self.folder / "c"
        keys.make_online_keys(self.folder / "online")
        done = self.type(
            keys_group, "init", "--out", self.folder / "c",
            "--online", self.folder / "online" / "online-public.json",
            "--model", "VX-410", "--passphrase-file", self.folder / "passphrase",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        return self.folder / "c"

    def build(self, *more: object) -> Result:
        """Build box.oleada on the ceremony's metadata."""
        return self.type(
            release_group, "build", self.folder / "box.img", "--model", "VX-410",
            "--version", "5.8.2", "--security-version", "1", "--note", "en=New",
            "--base", self.folder / "c" / "tuf", "-o", self.folder / "box.oleada", *more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ceremony, held once by the command, and never changed afterwards."""
    return Shell(tmp_path_factory.mktemp("held")).ceremony().parent


@pytest.fixture
def shell(tmp_path: Path, held: Path) -> Shell:
    return Shell(tmp_path, held)


def test_a_ceremony_leaves_eleven_keys_and_the_first_metadata(held: Path) -> None:
    folder = held / "c"

    assert {path.name for path in folder.glob("*.pem")} == {
        "root-1.pem", "root-2.pem", "root-3.pem", "targets-1.pem", "targets-2.pem",
        "targets-3.pem", "release-signer.pem",
        "approver.pem", "wave-approver-1.pem", "wave-approver-2.pem", "wave-approver-3.pem",
    }  # fmt: skip
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("*.pem"))
    assert {path.name for path in (folder / "tuf").iterdir()} == {
        "1.root.json", "targets.json", "VX-410.json",
    }  # fmt: skip


def test_a_second_ceremony_in_the_same_place_is_refused(shell: Shell) -> None:
    folder = shell.ceremony()
    before = {path.name: path.read_bytes() for path in folder.glob("*.pem")}

    again = shell.type(
        keys_group, "init", "--out", folder, "--online",
        shell.folder / "online" / "online-public.json", "--model", "VX-410",
        "--passphrase-file", shell.folder / "passphrase",
    )  # fmt: skip

    assert again.exit_code == 1
    assert "never overwritten" in again.output
    assert {path.name: path.read_bytes() for path in folder.glob("*.pem")} == before


def test_signing_shows_and_asks_before_it_signs(shell: Shell) -> None:
    folder = shell.ceremony()
    shell.build()
    before = (shell.folder / "box.oleada").read_bytes()
    words = ("sign", shell.folder / "box.oleada", "--key", folder / "approver.pem")

    refused = shell.type(release_group, *words, keyboard="n\n")
    agreed = shell.type(release_group, *words, keyboard="y\ncorrect horse\n")

    assert refused.exit_code == 1
    assert "Security version  1" in refused.output
    assert "Is this what boxes may run?" in refused.output
    assert agreed.exit_code == 0, agreed.output
    assert "Signed: 1 of 2. 1 more is needed." in agreed.output
    assert (shell.folder / "box.oleada").read_bytes() != before
    assert "correct horse" not in agreed.output


def test_a_wrong_passphrase_signs_nothing(shell: Shell) -> None:
    folder = shell.ceremony()
    shell.build()
    before = (shell.folder / "box.oleada").read_bytes()

    ended = shell.type(
        release_group, "sign", shell.folder / "box.oleada", "--key", folder / "approver.pem",
        "--yes", keyboard="battery staple\n",
    )  # fmt: skip

    assert ended.exit_code == 1
    assert "passphrase is wrong" in ended.output
    assert (shell.folder / "box.oleada").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--version", "five"), "is not dotted numbers"),
        (("--model", "vx 410"), "names at least one model, such as VX-410"),
        (("--model", "VX-999"), "No keys are delegated for hardware model 'VX-999'"),
        (("--note", "Neu"), "is not LANG=TEXT"),
        (("--security-version", "0"), "0 is not in the range"),
        (("--base", "http://127.0.0.1:1"), "--root is needed with an address"),
        (("--base", "nowhere"), "holds no root such as 1.root.json"),
    ],
)
def test_a_build_that_can_not_be_says_why(shell: Shell, more: tuple[str, ...], says: str) -> None:
    shell.ceremony()

    ended = shell.build(*more)

    assert ended.exit_code in {1, 2}
    assert says.replace(" ", "") in "".join(ended.output.split())
    assert not (shell.folder / "box.oleada").exists()


def test_notes_need_english(shell: Shell) -> None:
    folder = shell.ceremony()

    ended = shell.type(
        release_group, "build", shell.folder / "box.img", "--model", "VX-410", "--version", "1.0",
        "--security-version", "1", "--note", "es=Nuevo", "--base", folder / "tuf",
        "-o", shell.folder / "box.oleada",
    )  # fmt: skip

    assert ended.exit_code == 1
    assert "notes need at least the language 'en'" in ended.output


def test_a_server_that_does_not_answer_is_no_base(shell: Shell) -> None:
    folder = shell.ceremony()

    ended = shell.build("--base", "http://127.0.0.1:1", "--root", folder / "tuf" / "1.root.json")

    assert ended.exit_code == 1
    assert "can not be used" in ended.output


def test_a_model_is_added_and_a_root_renewed_by_command(shell: Shell) -> None:
    folder = shell.ceremony()
    secret = ("--passphrase-file", shell.folder / "passphrase")

    added = shell.type(keys_group, "add-model", folder, "--model", "VX-500", *secret)
    renewed = shell.type(
        keys_group, "renew", folder / "tuf" / "1.root.json", "--key", folder / "root-1.pem",
        "--key", folder / "root-3.pem", *secret,
    )  # fmt: skip

    assert (added.exit_code, renewed.exit_code) == (0, 0), added.output + renewed.output
    files = read_directory(folder / "tuf")
    assert set(files.models) == {"VX-410", "VX-500"}
    assert len(files.roots) == 2


def test_passphrases_have_one_source(shell: Shell) -> None:
    folder = shell.ceremony()

    ended = shell.type(
        keys_group, "add-model", folder, "--model", "VX-500", "--passphrase-env", "X",
        "--passphrase-file", shell.folder / "passphrase",
    )  # fmt: skip

    assert ended.exit_code == 2
    assert "not both" in ended.output


def test_the_signers_commands_need_no_server_package() -> None:
    script = (
        "import sys, oleada_store.cli; print(sorted({'flask', 'sqlalchemy'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)

    assert done.stdout == b"[]\n"
