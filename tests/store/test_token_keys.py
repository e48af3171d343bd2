"""Keys that never leave their token: a whole ceremony on one, and each way that it refuses."""

from pathlib import Path

import click
import pkcs11
import pytest
from click.testing import CliRunner, Result
from cryptography.exceptions import InvalidSignature
from oleada_store import (
    ceremony,
    cli_waves,
    key_places,
    keys,
    roles,
    sealing,
    token_keys,
    token_uri,
    waves,
)
from oleada_store.cli import keys_group, release_group
from oleada_store.errors import KeyFileError, KeyTokenError
from oleada_store.keys import PassphraseSource
from oleada_wire.envelope import keyid_of

from tests.support.tokens import MODULE, PIN, Drawer
from tests.support.wave_files import a_request, a_wave

WORD = "correct horse"
LABEL = pkcs11.Attribute.LABEL


@pytest.fixture
def drawer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Drawer:
    found = Drawer(tmp_path / "drawer")
    monkeypatch.setenv("SOFTHSM2_CONF", str(found.conf))
    found.token("Alice")
    return found


def named(drawer: Drawer, name: str, holder: str = "Alice") -> token_uri.TokenUri:
    return token_uri.parse(drawer.uri(holder, name))


def nobody(what: object) -> str:
    raise AssertionError(f"nobody is asked for {what}")


def typed(*words: object, group: click.Command = keys_group, keyboard: str = "") -> Result:
    return CliRunner().invoke(group, [str(word) for word in words], input=keyboard)


def a_bundle(home: Path, base: Path) -> Path:
    """Return an unsigned bundle of an image."""
    (home / "box.img").write_bytes(b"an image" * 100)
    bundle = home / "box.oleada"
    built = typed(
        "build", home / "box.img", "--model", "VX-410", "--version", "5.8.2",
        "--security-version", "1", "--note", "en=New", "--base", base, "-o", bundle,
        group=release_group,
    )  # fmt: skip
    assert built.exit_code == 0, built.output
    return bundle


def test_a_key_is_made_in_the_token_and_signs_there(drawer: Drawer) -> None:
    made, is_new = token_keys.make_or_open(named(drawer, "root-1"), PIN)
    again, is_new_again = token_keys.make_or_open(named(drawer, "root-1"), PIN)

    signature = made.sign(b"what boxes may run")
    made.public_key().verify(signature, b"what boxes may run")
    assert (is_new, is_new_again) == (True, False)
    assert again.public_key() == made.public_key()
    with pytest.raises(InvalidSignature):
        made.public_key().verify(signature, b"something else")


def test_a_key_does_not_leave_its_token(drawer: Drawer) -> None:
    token_keys.make_or_open(named(drawer, "root-1"), PIN)

    with pkcs11.lib(MODULE).get_token(token_label="Alice").open(user_pin=PIN) as session:
        private = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, label="root-1")
        said = private[pkcs11.Attribute.SENSITIVE], private[pkcs11.Attribute.EXTRACTABLE]
        with pytest.raises(pkcs11.AttributeSensitive):
            _ = private[pkcs11.Attribute.VALUE]
    pkcs11.lib(MODULE).finalize()

    assert said == (True, False)


def test_a_removed_key_is_gone_with_both_its_halves(drawer: Drawer) -> None:
    token_keys.make_or_open(named(drawer, "drill"), PIN)
    token_keys.make_or_open(named(drawer, "root-1"), PIN)

    token_keys.destroy(named(drawer, "drill"), PIN)

    with pytest.raises(KeyTokenError, match=r"no key pkcs11:.*drill in its token.*: root-1\."):
        token_keys.open_key(named(drawer, "drill"), PIN)


def test_a_wrong_pin_is_called_one_and_the_key_stays_shut(drawer: Drawer) -> None:
    token_keys.make_or_open(named(drawer, "root-1"), PIN)

    with pytest.raises(KeyTokenError, match="the PIN is wrong; after a few wrong ones") as refusal:
        token_keys.open_key(named(drawer, "root-1"), "0000")

    assert "0000" not in str(refusal.value)


def test_a_token_that_is_not_there_is_named_with_those_that_are(drawer: Drawer) -> None:
    with pytest.raises(KeyTokenError, match=r"is not there; plug it in\. There are: Alice\."):
        token_keys.open_key(named(drawer, "root-1", holder="Bob"), PIN)


def test_a_token_that_was_pulled_out_between_two_signatures_signs_again_when_it_is_back(
    drawer: Drawer,
) -> None:
    key, _ = token_keys.make_or_open(named(drawer, "root-1"), PIN)
    before = key.sign(b"a wave")

    drawer.pull_out()
    with pytest.raises(KeyTokenError, match="is not there; plug it in"):
        key.sign(b"a wave")
    drawer.plug_in()

    assert key.sign(b"a wave") == before


def test_a_key_of_another_kind_or_curve_is_refused(drawer: Drawer) -> None:
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - only here

    with pkcs11.lib(MODULE).get_token(token_label="Alice").open(rw=True, user_pin=PIN) as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 1024, store=True, label="rsa", id=b"1")
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        curve.generate_keypair(store=True, label="p256", id=b"2")
    pkcs11.lib(MODULE).finalize()

    for name, kind in (("rsa", "RSA"), ("p256", "EC")):
        with pytest.raises(KeyTokenError, match=f"is a key of kind {kind}; Ed25519 is what boxes"):
            token_keys.open_key(named(drawer, name), PIN)


def test_a_public_half_that_was_exchanged_is_found_before_anything_is_signed(
    drawer: Drawer,
) -> None:
    for name in ("root-1", "thief"):
        token_keys.make_or_open(named(drawer, name), PIN)
    halves = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY}
    with pkcs11.lib(MODULE).get_token(token_label="Alice").open(rw=True, user_pin=PIN) as session:
        mine, theirs = sorted(session.get_objects(halves), key=lambda one: str(one[LABEL]))
        theirs_copy, my_id = bytes(theirs[pkcs11.Attribute.EC_POINT]), mine[pkcs11.Attribute.ID]
        mine.destroy()
        session.create_object({
            **halves, pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC_EDWARDS,
            pkcs11.Attribute.EC_PARAMS: token_keys.ED25519_PARAMETERS[0],
            pkcs11.Attribute.EC_POINT: theirs_copy, pkcs11.Attribute.ID: my_id,
            pkcs11.Attribute.LABEL: "root-1", pkcs11.Attribute.TOKEN: True,
        })  # fmt: skip
    pkcs11.lib(MODULE).finalize()

    with pytest.raises(KeyTokenError, match="does not fit the key's public half"):
        token_keys.open_key(named(drawer, "root-1"), PIN)


def test_a_pin_file_that_others_can_read_is_refused(drawer: Drawer) -> None:
    drawer.pin_file.chmod(0o640)

    with pytest.raises(KeyTokenError, match=r"has mode 0640, so others can read it"):
        token_keys.read_pin(named(drawer, "root-1"), nobody)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 256])
def test_a_file_that_holds_no_pin_is_refused(drawer: Drawer, content: bytes) -> None:
    drawer.pin_file.write_bytes(content)

    with pytest.raises(KeyTokenError, match="does not hold one PIN on its first line"):
        token_keys.read_pin(named(drawer, "root-1"), nobody)


def test_without_a_pin_file_a_person_is_asked_and_told_for_which_key(drawer: Drawer) -> None:
    source = PassphraseSource(nobody, ask_pin=lambda name: f"{PIN} of {name}")

    said = source.pin(token_uri.parse(drawer.uri("Alice", "root-1", pin=False)))

    assert said == f"{PIN} of pkcs11:token=Alice;object=root-1"


def test_a_library_that_is_none_is_said_so(drawer: Drawer, tmp_path: Path) -> None:
    uri = token_uri.parse(f"pkcs11:token=Alice;object=x?module-path={tmp_path / 'no.so'}")

    with pytest.raises(KeyTokenError, match=r"Library .*no\.so can not be used"):
        token_keys.open_key(uri, PIN)


def test_two_tokens_that_fit_are_not_chosen_between(drawer: Drawer) -> None:
    drawer.token("Bob")
    uri = token_uri.parse(f"pkcs11:object=root-1?module-path={MODULE}")

    with pytest.raises(KeyTokenError, match=r"2 tokens fit .* There are: Alice, Bob"):
        token_keys.open_key(uri, PIN)


def test_two_keys_that_fit_are_not_chosen_between(drawer: Drawer) -> None:
    for name in ("a", "b"):
        token_keys.make_or_open(named(drawer, name), PIN)
    uri = token_uri.parse(f"pkcs11:token=Alice?module-path={MODULE}")

    with pytest.raises(KeyTokenError, match=r"2 keys fit .* say which with object= or id="):
        token_keys.open_key(uri, PIN)


def test_a_whole_ceremony_with_keys_in_tokens(drawer: Drawer, tmp_path: Path) -> None:
    """Made, used to sign a release and a root, lost and replaced: the files hold no secret."""
    drawer.token("Bob")
    keys.make_online_keys(tmp_path / "online")
    (tmp_path / "word").write_text(WORD)
    in_tokens = {
        "root-1": drawer.uri("Alice", "root-1"), "root-2": drawer.uri("Bob", "root-2"),
        "release-signer": drawer.uri("Alice", "signer"), "approver": drawer.uri("Bob", "approver"),
    }  # fmt: skip
    word = ("--passphrase-file", tmp_path / "word")
    place = tmp_path / "c"
    made = typed(
        "init", "--out", place, "--online", tmp_path / "online" / "online-public.json",
        "--model", "VX-410", *word,
        *(part for name, uri in in_tokens.items() for part in ("--token", f"{name}={uri}")),
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    bundle = a_bundle(tmp_path, place / "tuf")
    signed = [
        typed(
            "sign",
            bundle,
            "--key",
            key,
            "--yes",
            "--base",
            place / "tuf",
            group=release_group,
            keyboard=f"{PIN}\n",
        )
        for key in (in_tokens["release-signer"], place / "approver.uri")
    ]
    added = typed("add-model", place, "--model", "SB-220", *word, keyboard=f"{PIN}\n" * 2)
    rotated = typed(
        "rotate", place, "--lost", "root-3", "--key", in_tokens["root-1"], "--yes",
        "--token", drawer.uri("Bob", "root-4"), *word,
    )  # fmt: skip
    finished = typed(
        "sign", place / "tuf" / "2.root.json", "--key", place / "root-2.uri", "--yes",
        keyboard=f"{PIN}\n",
    )  # fmt: skip

    assert [one.exit_code for one in (*signed, added, rotated, finished)] == [0] * 5
    assert "It can be published." in signed[1].output
    assert "2.root.json is signed" in finished.output
    assert {path.name for path in place.glob("*.uri")} == {
        "root-1.uri", "root-2.uri", "root-4.uri", "release-signer.uri", "approver.uri",
    }  # fmt: skip
    assert {path.stem for path in place.glob("*.pem")} == {
        "root-3", "targets-1", "targets-2", "targets-3",
        "wave-approver-1", "wave-approver-2", "wave-approver-3",
    }  # fmt: skip
    everything = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert PIN.encode() not in everything
    assert b"pin-source" not in everything
    assert PIN not in "".join(one.output for one in (made, *signed, added, rotated, finished))


def test_waves_are_signed_by_a_key_in_a_token_whose_holder_types_the_pin(
    drawer: Drawer, tmp_path: Path
) -> None:
    key, _ = token_keys.make_or_open(named(drawer, "wave-approver-1"), PIN)
    file = tmp_path / "R-7.waves.json"
    waves.write(file, a_request(a_wave(), a_wave(wave_id=12)))

    done = typed(
        file, "--key", drawer.uri("Alice", "wave-approver-1", pin=False), group=cli_waves.sign,
        keyboard=f"y\n{PIN}\n",
    )  # fmt: skip

    known = {keyid_of(key.public_key()): key.public_key()}
    signed = [sealing.signed_by(waves.KIND, one.envelope, known) for one in waves.read(file).waves]
    assert done.exit_code == 0, done.output
    assert PIN not in done.output
    assert signed == [known.keys(), known.keys()]


def test_one_key_of_a_token_can_not_stand_for_two_people(drawer: Drawer, tmp_path: Path) -> None:
    keys.make_online_keys(tmp_path / "online")
    same = drawer.uri("Alice", "mine")

    done = typed(
        "init", "--out", tmp_path / "c", "--online", tmp_path / "online" / "online-public.json",
        "--model", "VX-410", "--token", f"release-signer={same}", "--token", f"approver={same}",
    )  # fmt: skip

    assert done.exit_code == 1
    assert "release-signer and approver are one and the same key" in done.output
    assert not list((tmp_path / "c").glob("*.*"))


def test_a_lost_key_is_not_replaced_by_one_that_is_in_use(drawer: Drawer, tmp_path: Path) -> None:
    keys.make_online_keys(tmp_path / "online")
    held = {name: drawer.uri("Alice", name) for name in ceremony.OFFLINE_KEYS}
    typed(
        "init", "--out", tmp_path / "c", "--online", tmp_path / "online" / "online-public.json",
        "--model", "VX-410",
        *(part for name, uri in held.items() for part in ("--token", f"{name}={uri}")),
    )  # fmt: skip

    done = typed(
        "rotate", tmp_path / "c", "--lost", "root-2", "--key", held["root-1"], "--yes",
        "--token", held["root-1"],
    )  # fmt: skip

    assert done.exit_code == 1
    assert "is in use already; a new key is needed" in done.output
    assert not (tmp_path / "c" / "tuf" / "2.root.json").exists()


def test_the_drill_is_played_in_a_token_and_leaves_it_as_it_was(drawer: Drawer) -> None:
    token_keys.make_or_open(named(drawer, "root-1"), PIN)
    place = f"pkcs11:token=Alice?module-path={MODULE}&pin-source=file:{drawer.pin_file}"

    done = typed("drill", "--token", place)

    assert done.exit_code == 0, done.output
    assert "The drill has passed." in done.output
    assert keyid_of(token_keys.open_key(named(drawer, "root-1"), PIN).public_key())
    with pytest.raises(KeyTokenError, match=r"There are: root-1\."):
        token_keys.open_key(named(drawer, "else"), PIN)


def test_a_file_that_names_a_key_is_opened_as_the_key(drawer: Drawer, tmp_path: Path) -> None:
    made, _ = token_keys.make_or_open(named(drawer, "root-1"), PIN)
    path = tmp_path / "root-1.uri"
    key_places.write(path, named(drawer, "root-1"))

    opened = key_places.open_key(path, PassphraseSource(nobody, ask_pin=lambda _: PIN))

    assert opened.public_key() == made.public_key()
    with pytest.raises(KeyFileError, match="never overwritten"):
        key_places.write(path, named(drawer, "root-1"))


def test_a_signature_of_a_token_counts_like_that_of_a_file(drawer: Drawer) -> None:
    made, _ = token_keys.make_or_open(named(drawer, "root-1"), PIN)
    signature = keys.tuf_signer(made).sign(b"bytes")

    keys.tuf_signer(made).public_key.verify_signature(signature, b"bytes")
    assert signature.keyid == keyid_of(made.public_key())
    assert roles.tuf_key(made.public_key()).keyid == signature.keyid
