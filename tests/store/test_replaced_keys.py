"""Any offline key may be lost or stolen: another takes its place, and boxes go along."""

import os
import shutil
from pathlib import Path

import pytest
from oleada_agent.trust.store import MetadataStore
from oleada_lab.sim.disk import SimDisk
from oleada_store import ceremony, keys, repository, succession, together
from oleada_store.errors import BadMetadataError, KeyFileError
from oleada_wire.envelope import keyid_of
from tuf.api.metadata import Root, Targets

from tests.support.ceremonies import MODEL, NOON, WORD, House, a_box, follows, old_house

ROOTS = ("root-1", "root-2")


class PowerCutError(BaseException):
    """The plug was pulled."""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("house"))
    online = keys.make_online_keys(house.home / "online")
    ceremony.make(house.place, online, [MODEL], lambda _: WORD, now=NOON)
    return house


@pytest.fixture
def house(first: House, tmp_path: Path) -> House:
    """Return a copy of the first house, of which the test may do what it likes."""
    shutil.copytree(first.home, tmp_path / "house")
    return House(tmp_path / "house")


@pytest.mark.parametrize(
    ("lost", "instead", "signed_by", "changed"),
    [
        ("targets-1", "targets-4", (*ROOTS, "targets-2"),
         {"2.root.json", "targets.json", "1.targets.json"}),
        ("approver", "approver-2", ("targets-1", "targets-3", "release-signer"),
         {"targets.json", "1.targets.json", f"{MODEL}.json"}),
        ("wave-approver-3", "wave-approver-4", ("targets-1", "targets-2"),
         {"targets.json", "1.targets.json"}),
    ],
)  # fmt: skip
def test_a_key_that_is_gone_is_replaced_and_boxes_go_along(
    house: House, lost: str, instead: str, signed_by: tuple[str, ...], changed: set[str]
) -> None:
    box = a_box(house)
    gone = keyid_of(keys.read_public(house.place / "public.json")[lost])
    (house.place / f"{lost}.pem").unlink()
    before = house.everything()

    done = house.lose(lost, *signed_by)

    assert done.exit_code == 0, done.output
    after = house.everything()
    written = {name for name in after if after[name] != before.get(name)}
    assert written == {f"tuf/{name}" for name in changed} | {"public.json", f"{instead}.pem"}
    assert f"no longer      {lost}" in done.output
    assert f"new            {instead}" in done.output
    assert {lost, instead} <= house.public()
    follows(house, box, 2)
    written -= {"public.json", "tuf/1.targets.json"}  # what was
    assert not any(gone in after[name].decode() for name in written)


def test_what_two_keys_of_targets_signed_with_a_stolen_one_says_nothing_afterwards(
    house: House,
) -> None:
    house.lose("targets-1", *ROOTS, "targets-2")
    forged = house.targets()
    forged.signed.version += 1
    forged.signatures.clear()
    for name in ("targets-1", "targets-3"):
        key = keys.read_encrypted(house.place / f"{name}.pem", WORD)
        forged.sign(keys.tuf_signer(key), append=True)

    with pytest.raises(BadMetadataError, match="carries 1 of the 2 signatures"):
        repository.verify(house.root(), "targets", forged, NOON)


def test_an_old_ceremony_becomes_one_in_which_two_of_three_sign_targets(tmp_path: Path) -> None:
    house = old_house(tmp_path)
    box = a_box(house)
    held = [word for name in (*ROOTS, "targets") for word in ("--key", house.place / f"{name}.pem")]

    done = house.type("rotate", house.place, "--two-sign-targets", *held, "--yes")

    assert done.exit_code == 0, done.output
    assert "targets          2 of 3: targets, targets-2, targets-3" in done.output
    assert "threshold      1 before" in done.output
    follows(house, box, 2)
    alone = house.targets()
    alone.signatures.clear()
    key = keys.read_encrypted(house.place / "targets.pem", WORD)
    alone.sign(keys.tuf_signer(key))
    with pytest.raises(BadMetadataError, match="carries 1 of the 2 signatures"):
        repository.verify(house.root(), "targets", alone, NOON)
    again = house.type("rotate", house.place, "--two-sign-targets", *held, "--yes")
    assert "Targets need 2 of 3 signatures already" in again.output
    added = house.type("add-model", house.place, "--model", "SB-220")
    assert added.exit_code == 0, added.output
    repository.verify(house.root(), "targets", house.targets(), NOON)


def test_the_only_key_of_targets_of_an_old_ceremony_can_be_lost_too(tmp_path: Path) -> None:
    house = old_house(tmp_path)
    box = a_box(house)
    (house.place / "targets.pem").unlink()

    assert house.lose("targets", *ROOTS).exit_code == 0

    assert "targets-2" in house.public()
    follows(house, box, 2)


def test_who_follows_is_let_to_sign_by_the_new_root_alone(house: House) -> None:
    house.lose("targets-1", "root-1", "targets-2")
    waiting = succession.root_change(
        (house.tuf / "2.root.json").read_bytes(),
        repository.read(Root, (house.tuf / "1.root.json").read_bytes(), "root"),
    )
    assert not waiting.is_complete()

    more = house.lose("root-3", "root-1", "root-2")
    signed = house.type(
        "sign", house.tuf / "2.root.json", "--key", house.place / "root-2.pem", "--yes",
        "--public", house.place / "public.json",
    )  # fmt: skip

    assert more.exit_code == 1
    assert "2.root.json still needs signatures" in more.output
    assert "is signed" in signed.output
    assert house.lose("root-3", "root-1", "root-2").exit_code == 0


def test_a_root_that_nobody_wants_to_sign_any_more_is_removed_and_another_one_made(
    house: House,
) -> None:
    house.lose("root-1", "root-2")
    (house.tuf / "2.root.json").unlink()

    done = house.lose("root-1", "root-2", "root-3")

    assert done.exit_code == 0, done.output
    assert "new            root-5" in done.output
    assert "is signed" in done.output
    again = house.lose("root-1", "root-2", "root-3")
    assert "signs nothing any more; there is nothing to replace" in again.output


def test_a_model_is_added_by_those_who_sign_by_now(house: House) -> None:
    house.lose("targets-1", *ROOTS, "targets-2")
    house.lose("approver", "targets-2", "targets-4", "release-signer")
    for name in ("targets-1", "targets-2", "approver"):
        (house.place / f"{name}.pem").unlink()

    done = house.type("add-model", house.place, "--model", "SB-220")

    assert done.exit_code == 0, done.output
    repository.verify(house.root(), "targets", house.targets(), NOON)
    role = repository.read(Targets, (house.tuf / "SB-220.json").read_bytes(), "SB-220")
    repository.verify(house.targets().signed, "SB-220", role, NOON)


def test_who_signs_targets_elsewhere_reads_what_changes(house: House) -> None:
    house.lose("wave-approver-1", "targets-1")

    done = house.type(
        "sign", house.tuf / "targets.json", "--key", house.place / "targets-2.pem", "--yes",
        "--public", house.place / "public.json",
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert "no longer      wave-approver-1" in done.output
    assert "new            wave-approver-4" in done.output
    assert "is signed" in done.output


def test_a_model_that_another_signer_finishes_elsewhere(house: House) -> None:
    first = house.lose("approver", "targets-1", "targets-2")
    assert f"{MODEL}.json needs more signatures" in first.output

    done = house.type(
        "sign", house.tuf / f"{MODEL}.json", "--key", house.place / "release-signer.pem", "--yes"
    )

    assert f"{MODEL}.json is signed" in done.output
    follows(house, a_box_that_knows(house, 1), 2)


def a_box_that_knows(house: House, root: int) -> MetadataStore:
    box = MetadataStore(SimDisk())
    box.write("root", (house.tuf / f"{root}.root.json").read_bytes())
    return box


def test_after_a_theft_the_key_of_a_server_that_signs_waves_goes_as_well(tmp_path: Path) -> None:
    house = House(tmp_path)
    online = keys.make_online_keys(tmp_path / "online")
    ceremony.make(
        house.place, online, [MODEL], lambda _: WORD, now=NOON,
        wave_approvers=ceremony.WaveApprovers([online["director"]], 1),
    )  # fmt: skip
    keys.make_online_keys(tmp_path / "new")
    held = [house.place / f"{name}.pem" for name in (*ROOTS, "targets-1", "targets-2")]

    done = house.type(
        "rotate", house.place, "--online", tmp_path / "new" / "online-public.json", "--yes",
        *(word for path in held for word in ("--key", path)),
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    assert keyid_of(online["director"]) not in (house.tuf / "targets.json").read_text()


def test_where_the_server_signed_waves_two_of_three_people_do_from_then_on(
    tmp_path: Path,
) -> None:
    house = House(tmp_path)
    online = keys.make_online_keys(tmp_path / "online")
    ceremony.make(
        house.place, online, [MODEL], lambda _: WORD, now=NOON,
        wave_approvers=ceremony.WaveApprovers([online["director"]], 1),
    )  # fmt: skip
    box = a_box(house)
    held = [w for n in ("targets-1", "targets-2") for w in ("--key", house.place / f"{n}.pem")]

    done = house.type("rotate", house.place, "--people-sign-waves", *held, "--yes")

    assert done.exit_code == 0, done.output
    said = "wave-approvers   2 of 3: wave-approver-1, wave-approver-2, wave-approver-3"
    assert said in done.output
    assert "no longer      director" in done.output
    client = follows(house, box, 2)
    role = client.targets.role_of("wave-approvers")
    assert role is not None
    assert (role.threshold, keyid_of(online["director"]) in role.keyids) == (2, False)
    again = house.type("rotate", house.place, "--people-sign-waves", *held, "--yes")
    assert "people do already" in again.output


def test_a_key_of_the_server_is_not_lost_like_one_of_people(house: House) -> None:
    before = house.everything()

    done = house.lose("director", *ROOTS)

    assert done.exit_code == 1
    assert "director is a key of the server" in done.output
    assert house.everything() == before


def test_who_says_no_to_the_words_has_changed_nothing(house: House) -> None:
    before = house.everything()

    done = house.lose("targets-1", *ROOTS, "targets-2", keyboard="n\n")

    assert done.exit_code == 1
    assert "Targets, version 2" in done.output
    assert house.everything() == before


def test_a_power_cut_between_any_two_writes_leaves_all_of_a_change_or_nothing(
    first: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuts = 0
    ended_as: set[str] = set()
    while True:
        shutil.copytree(first.home, tmp_path / str(cuts))
        house = House(tmp_path / str(cuts))
        before = house.everything()
        with monkeypatch.context() as patched:
            plug(patched, cuts)
            try:
                house.lose("targets-1", *ROOTS, "targets-2")
                break
            except PowerCutError:
                cuts += 1
        if house.everything() == before:
            again = house.lose("targets-1", *ROOTS, "targets-2")
            assert again.exit_code == 0, again.output
            ended_as.add("nothing")
        elif (house.place / together.PENDING_NAME).exists():
            again = house.lose("targets-2", *ROOTS, "targets-3")
            assert again.exit_code == 1
            assert "cut off in the middle. It has been finished now" in again.output
            ended_as.add("all, by the next command")
        assert house.everything().keys() == before.keys() | {
            "targets-4.pem",
            "tuf/2.root.json",
            "tuf/1.targets.json",
        }
        assert house.public() == first.public() | {"targets-4"}
        repository.verify(house.root(), "targets", house.targets(), NOON)
    assert cuts > 12
    assert len(ended_as) == 2


def plug(patched: pytest.MonkeyPatch, at: int) -> None:
    """Pull the plug before step *at* of those that make files durable."""
    steps = iter(range(10**6))

    def counted(real: object) -> object:
        def step(*arguments: object) -> object:
            if next(steps) == at:
                raise PowerCutError
            return real(*arguments)  # type: ignore[operator]

        return step

    for name in ("replace", "fsync", "unlink"):
        patched.setattr(os, name, counted(getattr(os, name)))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a": 1}', '{"/etc/x": {"base64": "", "secret": false}}',
             '{"../x": {"base64": "", "secret": false}}']
)  # fmt: skip
def test_what_was_not_left_by_a_cut_is_not_finished(house: House, text: str) -> None:
    (house.place / together.PENDING_NAME).write_text(text)

    with pytest.raises(KeyFileError, match="unfinished"):
        together.finish(house.place)


def test_what_a_stranger_left_is_not_written_where_a_link_leads(tmp_path: Path) -> None:
    """Whoever signs elsewhere gets the directory from another person, links and all."""
    stick, home = tmp_path / "stick", tmp_path / "home"
    stick.mkdir()
    home.mkdir()
    (stick / "tuf").symlink_to(home)
    pending = '{"tuf/authorized_keys":{"base64":"aGVsbG8=","secret":true}}'
    (stick / together.PENDING_NAME).write_text(pending)

    with pytest.raises(KeyFileError, match="not in its directory"):
        together.finish(stick)

    assert list(home.iterdir()) == []


def test_no_name_moves_the_cursor_of_whoever_reads_what_they_sign(first: House) -> None:
    """Names of keys and roles come with the files, perhaps from who wants to hide a line."""
    data = (first.place / "tuf" / "targets.json").read_bytes()
    found = succession.read_offline(data.replace(MODEL.encode(), b"VX\\u001b[2K"))
    public = keys.read_public(first.place / "public.json")
    names = {keyid_of(key): "approver\x1b[1A" for key in public.values()}

    said = "".join(succession.lines(found, None, names))

    assert r"VX\x1b[2K" in said
    assert r"approver\x1b[1A" in said
    assert said.isprintable()
