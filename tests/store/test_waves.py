"""An approver signs waves on their own machine: what is shown, what is refused, what is kept."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from oleada_store import keys, sealing, waves
from oleada_store.cli_waves import sign
from oleada_store.errors import BadEnvelopeError, BadRequestFileError, StoreError
from oleada_wire import messages
from oleada_wire.cohort import merkle_root
from oleada_wire.envelope import KeySigner, RoleKeys
from oleada_wire.messages import Cohort, Wave

from tests.support.wave_files import a_request, a_wave

PASSPHRASE = b"correct horse"
BOXES = ("VX417Q3K0001", "VX417Q3K0002")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "R-7.waves.json"
    waves.write(path, a_request(a_wave(), a_wave(cohort=Cohort(salt="salt", share_parts=10_000))))
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "wave-approver-1.pem"
    keys.write_encrypted(path, Ed25519PrivateKey.generate(), PASSPHRASE)
    return path


Type = Callable[..., Result]


@pytest.fixture
def type_sign(file: Path, key: Path) -> Type:
    """Type ``oleada rollout sign`` with the file and the key."""

    def type_sign(*words: str, keyboard: str = "y\ncorrect horse\n") -> Result:
        return CliRunner().invoke(sign, [str(file), "--key", str(key), *words], input=keyboard)

    return type_sign


def test_every_wave_is_said_in_words_before_the_key_is_asked_for(
    file: Path, type_sign: Type
) -> None:
    before = file.read_bytes()

    refused = type_sign(keyboard="n\n")

    for words in ("Wave 1 of R-7", "VX-410/5.8.2.img", "5 % of every VX-410", "ab" * 32,
                  "Wave 2 of R-7", "100 % of every VX-410", "2026-12-23 04:26 UTC"):  # fmt: skip
        assert words in refused.output
    assert refused.exit_code == 1
    assert file.read_bytes() == before


def test_a_signature_is_one_that_a_box_believes(file: Path, key: Path, type_sign: Type) -> None:
    done = type_sign()

    assert done.exit_code == 0, done.output
    assert "Signed: 1 of 2. 1 more needed." in done.output
    public = keys.read_encrypted(key, PASSPHRASE).public_key()
    role = RoleKeys({KeySigner.of(keys.read_encrypted(key, PASSPHRASE)).keyid: public}, 1)
    for one in waves.read(file).waves:
        assert messages.open_message(Wave, one.envelope.encode(), role) == one.wave


def test_waves_after_the_one_that_is_named_are_left_out_and_never_signed(
    file: Path, type_sign: Type
) -> None:
    done = type_sign("--until-wave", "1")

    assert "Wave 2" not in done.output
    assert [one.position for one in waves.read(file).waves] == [1]


def test_signing_twice_with_one_key_is_one_signature(file: Path, type_sign: Type) -> None:
    type_sign()
    again = type_sign()

    assert "Signed: 1 of 2" in again.output
    assert len(waves.read(file).waves[0].signed_by) == 1


def test_a_key_that_may_not_sign_waves_is_told_so(file: Path, type_sign: Type) -> None:
    waves.write(file, replace(waves.read(file), may_sign=("00" * 32,)))

    with pytest.raises(StoreError, match="not one of those that sign waves"):
        CliRunner().invoke(
            sign,
            [str(file), "--key", str(file.with_name("wave-approver-1.pem")), "--yes"],
            input="correct horse\n",
            catch_exceptions=False,
        )
    assert type_sign().exit_code == 1


@pytest.mark.parametrize(
    "lie",
    [
        lambda spelt: spelt.update(rollout="R-8"),
        lambda spelt: spelt["waves"][0].update(device_ids=["VX417Q3K0009"]),
        lambda spelt: spelt["waves"][0].update(device_ids=[]),
        lambda spelt: spelt["waves"][0].pop("device_ids"),
        lambda spelt: spelt["waves"][0].update(envelope="{}"),
        lambda spelt: spelt["waves"][0].update(position="1"),
        lambda spelt: spelt.update(format="oleada.waves/2"),
        lambda spelt: spelt.update(waves=7),
    ],
)
def test_a_file_that_says_something_else_than_its_envelopes_is_refused(
    lie: Callable[[dict[str, object]], object], tmp_path: Path
) -> None:
    honest = a_request(a_wave(cohort=Cohort(merkle_root=merkle_root(BOXES))), listed=BOXES)
    spelt = json.loads(json.dumps(waves.to_json(honest)))
    assert waves.from_json(spelt) == honest

    lie(spelt)
    (tmp_path / "f.json").write_text(json.dumps(spelt))

    with pytest.raises((BadRequestFileError, BadEnvelopeError)):
        waves.read(tmp_path / "f.json")


def test_a_list_of_boxes_is_shown_by_name_and_a_name_can_move_no_cursor() -> None:
    root = merkle_root([*BOXES, "\x1b[2Jall"])
    request = a_request(a_wave(cohort=Cohort(merkle_root=root)), listed=(*BOXES, "\x1b[2Jall"))

    text = "\n".join(waves.lines(request.waves[0]))

    assert "3 boxes of VX-410, by name:" in text
    assert BOXES[1] in text
    assert "\x1b" not in text


def test_signatures_of_two_copies_come_together_and_strangers_fall_out() -> None:
    people = [KeySigner.of(Ed25519PrivateKey.generate()) for _ in range(3)]
    role = RoleKeys({one.keyid: one.key.public_key() for one in people[:2]}, 2)
    unsigned = messages.seal(a_wave(), []).decode()
    copies = [sealing.with_signature(waves.KIND, unsigned, one) for one in people]

    together = unsigned
    for copy in copies:
        together = sealing.merged(waves.KIND, together, copy, role)

    assert sealing.is_complete(waves.KIND, together, role)
    assert set(sealing.claimed(waves.KIND, together)) == {one.keyid for one in people[:2]}
    assert messages.open_message(Wave, together.encode(), role) == a_wave()


def test_a_signature_on_another_wave_is_not_taken_over() -> None:
    one = KeySigner.of(Ed25519PrivateKey.generate())
    role = RoleKeys({one.keyid: one.key.public_key()}, 1)
    small = messages.seal(a_wave(), []).decode()
    large = messages.seal(a_wave(cohort=Cohort(salt="salt", share_parts=10_000)), [one]).decode()

    with pytest.raises(BadEnvelopeError, match="not the 'wave' that waits here"):
        sealing.merged(waves.KIND, small, large, role)
