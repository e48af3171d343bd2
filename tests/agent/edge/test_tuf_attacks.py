"""The attack table of the trust design, against a real repository made by python-tuf."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from oleada_agent.disk import RealDisk
from oleada_agent.trust import client, errors
from oleada_agent.trust.client import BOX, SPECIFICATION, TrustedClient
from oleada_agent.trust.store import SECOND_COPY, MetadataStore
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import MetaFile

from tests.agent.edge.repository import IMAGE, MODEL, NOON, Repository

PATH = f"{MODEL}/5.8.2.img"


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
def store(tmp_path: Path, repository: Repository) -> MetadataStore:
    made = MetadataStore(RealDisk(tmp_path / "trust"))
    made.write("root", repository.files["1.root.json"])
    return made


def refreshed(store: MetadataStore, repository: Repository, now: datetime = NOON) -> TrustedClient:
    made = TrustedClient(store, repository.get, now, BOX)
    made.refresh()
    return made


@pytest.mark.parametrize("consistent", [True, False])
def test_a_signed_release_is_found_with_what_was_signed(tmp_path: Path, consistent: bool) -> None:
    repository = Repository(consistent=consistent)
    store = MetadataStore(RealDisk(tmp_path / "trust"))
    store.write("root", repository.files["1.root.json"])

    target = refreshed(store, repository).find(PATH)

    assert target.length == len(IMAGE)
    assert target.custom["version"] == "5.8.2"
    assert repository.asked[0] == "2.root.json"


def test_rollback_to_a_whole_old_repository_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    old = dict(repository.files)
    repository.publish(MODEL)
    refreshed(store, repository)

    repository.files = old

    with pytest.raises(errors.RollbackError, match="timestamp"):
        refreshed(store, repository)


def test_rollback_of_one_role_with_stolen_online_keys_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    repository.publish(MODEL)
    refreshed(store, repository)

    repository.signed[MODEL].signed.version = 1
    repository.publish_online()

    with pytest.raises(errors.RollbackError, match=r"VX-410\.json"):
        refreshed(store, repository)


def test_a_role_that_vanishes_from_the_snapshot_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    refreshed(store, repository)

    repository.publish_online()
    repository.sign_again("snapshot", lambda snapshot: snapshot.meta.pop(f"{MODEL}.json"))
    data = repository.files[repository.name_of("snapshot")]
    version = repository.signed["snapshot"].signed.version
    repository.sign_again(
        "timestamp",
        lambda timestamp: setattr(
            timestamp, "snapshot_meta", MetaFile.from_data(version, data, ["sha256"])
        ),
    )

    with pytest.raises(errors.RollbackError, match="no longer names"):
        refreshed(store, repository)


@pytest.mark.parametrize(
    ("role", "days"), [("timestamp", 4), ("snapshot", 15), ("targets", 366), (MODEL, 366)]
)
def test_freeze_with_expired_metadata_is_refused(
    store: MetadataStore, repository: Repository, role: str, days: int
) -> None:
    later = NOON + timedelta(days=days)
    for other in ("root", "timestamp", "snapshot", "targets", MODEL, "VX-500"):
        if other != role:
            repository.signed[other].signed.expires = later + timedelta(days=9)
    repository.publish("targets", MODEL, "VX-500")
    repository.publish("root")

    with pytest.raises(errors.FreezeError, match=role):
        refreshed(store, repository, later).find(PATH)


def test_freeze_with_an_expired_final_root_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    with pytest.raises(errors.FreezeError, match="root"):
        refreshed(store, repository, NOON + timedelta(days=366))


def test_an_expired_root_on_the_way_to_a_fresh_one_is_a_step_not_an_end(
    store: MetadataStore, repository: Repository
) -> None:
    for version in range(2, 7):
        repository.signed["root"].signed.expires = NOON + timedelta(days=version)
        repository.publish("root")
    repository.signed["root"].signed.expires = NOON + timedelta(days=800)
    for role in ("timestamp", "snapshot", "targets", MODEL):
        repository.signed[role].signed.expires = NOON + timedelta(days=800)
    repository.publish("root", "targets", MODEL)

    updated = refreshed(store, repository, NOON + timedelta(days=700))

    assert updated.root.document.version == 7


def test_mix_and_match_of_an_old_role_under_the_new_name_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    old = repository.files[repository.name_of(MODEL)]
    repository.publish(MODEL)
    repository.files[repository.name_of(MODEL)] = old

    with pytest.raises(errors.MixAndMatchError, match="version 1; 2"):
        refreshed(store, repository).find(PATH)


def test_old_snapshot_bytes_under_the_new_name_are_refused(
    store: MetadataStore, repository: Repository
) -> None:
    old = repository.files[repository.name_of("snapshot")]
    repository.publish(MODEL)
    repository.files[repository.name_of("snapshot")] = old

    with pytest.raises(errors.WrongHashError, match="snapshot"):
        refreshed(store, repository)


@pytest.mark.parametrize("role", ["timestamp", "targets", MODEL])
def test_metadata_of_a_wrong_key_is_refused(
    store: MetadataStore, repository: Repository, role: str
) -> None:
    repository.signers[role] = [CryptoSigner.generate_ed25519() for _ in range(2)]
    repository.sign_again(role, lambda signed: None)

    with pytest.raises(errors.BadSignaturesError, match="0 of"):
        refreshed(store, repository).find(PATH)


@pytest.mark.parametrize("role", ["targets", MODEL])
def test_one_of_two_signatures_is_not_two(
    store: MetadataStore, repository: Repository, role: str
) -> None:
    repository.sign_again(role, lambda signed: None, signers=1)

    with pytest.raises(errors.BadSignaturesError, match="1 of 2"):
        refreshed(store, repository).find(PATH)


@pytest.mark.parametrize(("signers", "version"), [(1, 1), (2, 2)])
def test_a_new_root_needs_two_of_the_old_roots_three_keys(
    store: MetadataStore, repository: Repository, signers: int, version: int
) -> None:
    repository.signed["root"].signed.version = 2
    repository.sign_again("root", lambda signed: None, signers=signers)
    made = TrustedClient(store, repository.get, NOON, BOX)

    if signers < 2:
        with pytest.raises(errors.BadSignaturesError, match="1 of 2"):
            made.refresh()
    else:
        made.refresh()

    assert made.root.document.version == version


def test_a_root_that_only_its_own_new_keys_sign_is_nobodys_successor(
    store: MetadataStore, repository: Repository
) -> None:
    replace_root_keys(repository)

    with pytest.raises(errors.BadSignaturesError, match="0 of 2"):
        refreshed(store, repository)


def test_a_root_that_its_own_new_keys_do_not_sign_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    old = repository.signers["root"]
    replace_root_keys(repository)
    repository.signers["root"] = old
    repository.sign_again("root", lambda root: None)

    with pytest.raises(errors.BadSignaturesError, match="0 of 2"):
        refreshed(store, repository)


def replace_root_keys(repository: Repository) -> None:
    """Publish a next root that names and is signed by three keys nobody knows."""
    root = repository.signed["root"].signed
    for keyid in list(root.roles["root"].keyids):
        root.revoke_key(keyid, "root")
    repository.signers["root"] = [CryptoSigner.generate_ed25519() for _ in range(3)]
    for signer in repository.signers["root"]:
        root.add_key(signer.public_key, "root")
    repository.publish("root")


def test_a_terminating_role_has_the_last_word_about_its_paths(
    store: MetadataStore, repository: Repository
) -> None:
    delegations = repository.signed["targets"].signed.delegations
    delegations.roles["VX-500"].paths = ["VX-410/*"]
    other = repository.signed["VX-500"].signed.targets
    other["VX-410/9.img"] = repository.signed[MODEL].signed.targets[PATH]
    repository.publish("targets", "VX-500")

    with pytest.raises(errors.TargetNotFoundError):
        refreshed(store, repository).find("VX-410/9.img")
    delegations.roles[MODEL].terminating = False
    repository.publish("targets")
    assert refreshed(store, repository).find("VX-410/9.img")


def test_a_root_that_lowers_its_own_threshold_to_one_is_refused_by_a_box_only(
    tmp_path: Path, repository: Repository
) -> None:
    repository.signed["root"].signed.roles["root"].threshold = 1
    repository.publish("root")
    data = repository.files["2.root.json"]

    for policy, accepted in ((SPECIFICATION, True), (BOX, False)):
        store = MetadataStore(RealDisk(tmp_path / str(accepted)))
        store.write("root", data)
        if accepted:
            assert TrustedClient(store, repository.get, NOON, policy).root.document.version == 2
        else:
            with pytest.raises(errors.WeakPolicyError, match="asks for 1"):
                TrustedClient(store, repository.get, NOON, policy)


def test_a_model_role_can_not_speak_for_another_models_path(
    store: MetadataStore, repository: Repository
) -> None:
    targets = repository.signed[MODEL].signed.targets
    targets["VX-500/5.8.2.img"] = targets[PATH]
    repository.publish(MODEL)

    with pytest.raises(errors.TargetNotFoundError, match="VX-500"):
        refreshed(store, repository).find("VX-500/5.8.2.img")


@pytest.mark.parametrize("path", [f"{MODEL}/../VX-500/1.img", f"{MODEL}/a/b.img", MODEL, "", "/"])
def test_a_star_never_reaches_over_a_slash(
    store: MetadataStore, repository: Repository, path: str
) -> None:
    with pytest.raises(errors.TargetNotFoundError):
        refreshed(store, repository).find(path)


@pytest.mark.parametrize(
    ("role", "limit"),
    [("timestamp", client.TIMESTAMP_BYTES_MAX), ("2.root", client.ROOT_BYTES_MAX)],
)
def test_endless_data_stops_at_the_limit(
    store: MetadataStore, repository: Repository, role: str, limit: int
) -> None:
    repository.files[f"{role}.json"] = b" " * (limit + 10_000)

    with pytest.raises(errors.EndlessDataError, match=str(limit)):
        refreshed(store, repository)


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"signed":{"_type":"timestamp"}}',
     b'{"signatures":[],"signatures":[],"signed":{}}', b'{"signatures":[],"signed":{"a":1.5}}'],
)  # fmt: skip
def test_garbage_is_named_as_such(
    store: MetadataStore, repository: Repository, garbage: bytes
) -> None:
    repository.files["timestamp.json"] = garbage[: client.TIMESTAMP_BYTES_MAX]

    with pytest.raises(errors.MalformedMetadataError):
        refreshed(store, repository)


def test_metadata_of_another_role_type_is_refused(
    store: MetadataStore, repository: Repository
) -> None:
    repository.files["timestamp.json"] = repository.files[repository.name_of("targets")]

    with pytest.raises(errors.MalformedMetadataError, match="'targets'"):
        refreshed(store, repository)


def test_missing_metadata_is_said_to_be_missing(
    store: MetadataStore, repository: Repository
) -> None:
    del repository.files["timestamp.json"]

    with pytest.raises(errors.MissingMetadataError, match=r"timestamp\.json"):
        refreshed(store, repository)


@pytest.mark.parametrize("torn", ["first", "second", "both empty"])
def test_a_torn_copy_never_lowers_what_was_trusted(
    tmp_path: Path, store: MetadataStore, repository: Repository, torn: str
) -> None:
    old = dict(repository.files)
    repository.publish(MODEL)
    refreshed(store, repository)
    repository.files = old
    places = [tmp_path / "trust", tmp_path / "trust" / SECOND_COPY]

    (places[torn == "second"] / "timestamp.json").write_bytes(b"" if torn == "first" else b"{}")

    with pytest.raises(errors.RollbackError):
        refreshed(store, repository)


def test_a_clock_of_1990_does_not_make_an_expired_timestamp_fresh_for_a_box_with_a_floor(
    store: MetadataStore, repository: Repository
) -> None:
    dead_clock = datetime(1990, 1, 1, tzinfo=UTC)
    floor = NOON + timedelta(days=30)

    with pytest.raises(errors.FreezeError):
        refreshed(store, repository, max(dead_clock, floor))


def test_a_stolen_online_key_that_fast_forwards_is_healed_by_rotation(
    store: MetadataStore, repository: Repository
) -> None:
    repository.signed["timestamp"].signed.version = 2**31
    repository.publish_online()
    refreshed(store, repository)

    root = repository.signed["root"].signed
    for role in ("timestamp", "snapshot"):
        root.revoke_key(repository.signers[role][0].public_key.keyid, role)
        repository.signers[role] = [CryptoSigner.generate_ed25519()]
        root.add_key(repository.signers[role][0].public_key, role)
    repository.signed["timestamp"].signed.version = 1
    repository.publish("root")

    assert refreshed(store, repository).timestamp.document.version == 2


def test_what_is_already_trusted_is_not_fetched_again(
    store: MetadataStore, repository: Repository
) -> None:
    refreshed(store, repository).find(PATH)
    repository.asked.clear()

    refreshed(store, repository).find(PATH)

    assert repository.asked == ["2.root.json", "timestamp.json"]
