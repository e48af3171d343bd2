"""Trust is installed once, moves forward only, and never brings a release with it."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from oleada_server import config as settings
from oleada_server.db import db
from oleada_server.devices.models import HardwareModel
from oleada_server.releases import service
from oleada_server.releases.errors import TufFileNotFoundError, UntrustedFilesError
from oleada_server.releases.models import TufFile
from oleada_store import ceremony, drill, keys, repository, succession
from oleada_store.ceremony import MODEL_KEYS
from oleada_store.keys import PassphraseSource
from oleada_store.trust_files import TrustFiles, read_directory
from sqlalchemy import select
from tuf.api.metadata import DelegatedRole, Metadata, Root, Targets

from tests.support.releases import Signers, a_release, hold_ceremony, signed, some_info

Spoil = Callable[[Signers, datetime], TrustFiles]
DAY = timedelta(days=1)


def test_a_first_install_makes_models_and_a_signed_state(app: Flask, noon: datetime) -> None:
    signers = hold_ceremony(app.extensions["oleada_config"].keys_dir, noon)

    added = service.install_trust(signers.files, "user:anna", noon)

    assert added == ["1.root.json", "1.targets.json", "1.VX-240.json", "1.VX-410.json"]
    assert set(db.session.scalars(select(HardwareModel.name))) == {"VX-240", "VX-410"}
    snapshot = json.loads(service.tuf_file("snapshot.json"))
    assert set(snapshot["signed"]["meta"]) == {"targets.json", "VX-240.json", "VX-410.json"}
    copied = {path.name for path in settings.current().tuf_dir.glob("*.json")}
    assert {"1.root.json", "timestamp.json", "1.snapshot.json", "VX-410.json"} <= copied


def test_the_same_files_again_change_nothing(signers: Signers, noon: datetime) -> None:
    before = service.tuf_file("timestamp.json")

    assert service.install_trust(signers.files, "user:anna", noon) == []
    assert service.tuf_file("timestamp.json") == before


def test_a_file_that_is_not_there_is_not_found(signers: Signers) -> None:
    assert service.tuf_file("1.VX-410.json") == signers.files.models["VX-410"]
    for name in ("2.root.json", "VX-999.json", "../keys/director.pem", "root", ""):
        with pytest.raises(TufFileNotFoundError):
            service.tuf_file(name)


def _another_ceremony(signers: Signers, now: datetime) -> TrustFiles:
    assert signers.files.roots
    return hold_ceremony(settings.current().keys_dir, now).files


def _another_server(signers: Signers, now: datetime) -> TrustFiles:
    assert signers.files.roots
    elsewhere = settings.current().data_dir / "elsewhere"
    keys.make_online_keys(elsewhere)
    return hold_ceremony(elsewhere, now).files


def _one_root_signature(signers: Signers, now: datetime) -> TrustFiles:
    root = repository.read(Root, signers.files.roots[-1], "root")
    root.signed.version, root.signed.expires = 2, now + DAY
    second = signed(root, [signers.secret["root-1"]])
    return replace(signers.files, roots=(*signers.files.roots, second))


def _a_root_left_out(signers: Signers, now: datetime) -> TrustFiles:
    root = repository.read(Root, signers.files.roots[-1], "root")
    root.signed.version, root.signed.expires = 3, now + DAY
    third = signed(root, [signers.secret["root-1"], signers.secret["root-2"]])
    return replace(signers.files, roots=(*signers.files.roots, third))


def _weak_root(signers: Signers, now: datetime) -> TrustFiles:
    root = repository.read(Root, signers.files.roots[-1], "root")
    root.signed.version, root.signed.expires = 2, now + DAY
    root.signed.roles["root"].threshold = 1
    second = signed(root, [signers.secret["root-1"], signers.secret["root-2"]])
    return replace(signers.files, roots=(*signers.files.roots, second))


def _targets(
    spoil: Callable[[Targets], None], by: tuple[str, ...] = ("targets-1", "targets-3")
) -> Spoil:
    def make(signers: Signers, now: datetime) -> TrustFiles:
        targets = repository.read(Targets, signers.files.targets, "targets")
        targets.signed.version, targets.signed.expires = 2, now + DAY
        spoil(targets.signed)
        people = [signers.secret[name] for name in by]
        return replace(signers.files, targets=signed(targets, people))

    return make


def _role(spoil: Callable[[Targets], None], by: tuple[str, ...] = MODEL_KEYS) -> Spoil:
    def make(signers: Signers, now: datetime) -> TrustFiles:
        role = repository.read(Targets, signers.files.models["VX-410"], "VX-410")
        role.signed.version, role.signed.expires = 2, now + DAY
        spoil(role.signed)
        body = signed(role, [signers.secret[name] for name in by])
        return replace(signers.files, models={**signers.files.models, "VX-410": body})

    return make


def _smuggle(role: Targets) -> None:
    release = a_release(some_info(), b"never seen")
    role.targets = repository.with_release(Metadata(role), release, role.expires).signed.targets


def _more(targets: Targets) -> None:
    held = targets.delegations.roles if targets.delegations else None
    assert held is not None
    keyids = held["VX-410"].keyids
    held["VX-999"] = DelegatedRole("VX-999", keyids, 2, terminating=True, paths=["VX-999/*"])


def _expire(signed_part: Targets) -> None:
    signed_part.expires -= 2 * DAY


REFUSED: dict[str, tuple[str, Spoil]] = {
    "of another ceremony": ("another ceremony", _another_ceremony),
    "a next root with one signature": ("1 of the 2", _one_root_signature),
    "a chain with a gap": ("root 2 is missing", _a_root_left_out),
    "a root that one person may change": ("refuse fewer than 2", _weak_root),
    "targets of a stranger": ("0 of the 2", _targets(lambda _: None, by=("stranger",))),
    "targets of one person": ("1 of the 2", _targets(lambda _: None, by=("targets-2",))),
    "other targets of the same version": (
        "Another targets.json with version 1",
        _targets(lambda targets: setattr(targets, "version", 1)),
    ),
    "expired targets": ("was valid until", _targets(_expire)),
    "a model without its role": ("VX-999.json is missing", _targets(_more)),
    "a role that one person signed": ("1 of the 2", _role(lambda _: None, by=("approver",))),
    "a role with a release in it": ("holds other releases", _role(_smuggle)),
    "text": (
        "not TUF metadata",
        lambda signers, now: replace(signers.files, targets=str(now).encode()),
    ),
}


@pytest.mark.parametrize("wrong", REFUSED)
def test_files_that_can_not_be_trusted_change_nothing(
    wrong: str, sqlite_signers: Signers, noon: datetime
) -> None:
    says, make = REFUSED[wrong]
    before = list(db.session.execute(select(TufFile.name, TufFile.version)))
    db.session.rollback()

    with pytest.raises(UntrustedFilesError, match=says):
        service.install_trust(make(sqlite_signers, noon), "user:eve", noon)

    db.session.rollback()
    assert list(db.session.execute(select(TufFile.name, TufFile.version))) == before


def test_a_ceremony_for_another_server_is_refused(sqlite_app: Flask, noon: datetime) -> None:
    own = hold_ceremony(sqlite_app.extensions["oleada_config"].keys_dir, noon)

    with pytest.raises(UntrustedFilesError, match=r"another snapshot key.*online-public\.json"):
        service.install_trust(_another_server(own, noon), "user:anna", noon)


def test_targets_never_go_back(sqlite_signers: Signers, noon: datetime) -> None:
    newer = _targets(lambda _: None)(sqlite_signers, noon)
    assert service.install_trust(newer, "user:anna", noon) == ["2.targets.json"]

    with pytest.raises(UntrustedFilesError, match="trust never goes back"):
        service.install_trust(sqlite_signers.files, "user:anna", noon)


def test_a_renewed_root_follows_the_old_one(sqlite_signers: Signers, noon: datetime) -> None:
    holders = [sqlite_signers.secret["root-2"], sqlite_signers.secret["root-3"]]
    _, second = ceremony.renew(sqlite_signers.files.roots[0], holders, 400 * DAY, noon + 300 * DAY)
    files = replace(sqlite_signers.files, roots=(*sqlite_signers.files.roots, second))

    added = service.install_trust(files, "user:anna", noon + 300 * DAY)

    assert added == ["2.root.json"]
    assert service.tuf_file("root.json") == second
    assert service.tuf_file("1.root.json") == sqlite_signers.files.roots[0]


def test_a_renewed_role_keeps_its_releases(sqlite_signers: Signers, noon: datetime) -> None:
    files = _role(lambda _: None)(sqlite_signers, noon)

    assert service.install_trust(files, "user:anna", noon) == ["2.VX-410.json"]


def test_a_lost_approver_is_replaced_without_losing_what_they_signed(
    sqlite_signers: Signers, noon: datetime
) -> None:
    _publish(sqlite_signers, noon)
    published = service.tuf_file("VX-410.json")

    stale = _without_approver(sqlite_signers, sqlite_signers.files, noon)
    with pytest.raises(UntrustedFilesError, match=r"published in version 2.*then replace the key"):
        service.install_trust(stale, "user:anna", noon)
    copied = {**sqlite_signers.files.models, "VX-410": published}
    whole = _without_approver(sqlite_signers, replace(sqlite_signers.files, models=copied), noon)
    added = service.install_trust(whole, "user:anna", noon)

    assert added == ["2.targets.json", "2.VX-240.json", "3.VX-410.json"]
    held = json.loads(service.tuf_file("VX-410.json"))["signed"]["targets"]
    assert held == json.loads(published)["signed"]["targets"]
    assert held


def _without_approver(signers: Signers, files: TrustFiles, now: datetime) -> TrustFiles:
    """Return *files* after another key has taken the approver's place."""
    fresh = Ed25519PrivateKey.generate()
    lost = signers.secret["approver"].public_key()
    people = [*(signers.secret[n] for n in ("targets-1", "targets-2", "release-signer")), fresh]
    changes = succession.replaced_key(files, lost, fresh.public_key(), now)
    for change in changes:
        for key in people:
            if change.counts(key.public_key()):
                change.sign(key)
    return drill.after(files, changes)


def _publish(signers: Signers, now: datetime) -> None:
    content = signers.bundle(some_info(), now=now)
    service.publish(io.BytesIO(content), "user:anna", now)


def test_a_model_is_added_later(tmp_path: Path, sqlite_app: Flask, noon: datetime) -> None:
    online = keys.make_online_keys(sqlite_app.extensions["oleada_config"].keys_dir)
    tuf = ceremony.make(tmp_path / "c", online, ["VX-410"], lambda _: b"secret", now=noon)
    service.install_trust(read_directory(tuf), "user:anna", noon)

    ceremony.add_model(tmp_path / "c", "VX-500", PassphraseSource(lambda _: "secret"), noon)
    added = service.install_trust(read_directory(tuf), "user:anna", noon)

    assert added == ["2.targets.json", "1.VX-500.json"]
    assert "VX-500" in set(db.session.scalars(select(HardwareModel.name)))
