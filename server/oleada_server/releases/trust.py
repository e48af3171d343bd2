"""Installing what a key ceremony made: the roots, targets and the models' roles.

The first install decides whom this server, and every box that enrols here, believes.
Later ones only move forward: the chain of roots grows, versions rise, and a model's
role may be renewed but never loses or gains a release this way.
"""

from datetime import datetime

from oleada_store import repository, trust_files
from oleada_store.errors import NotSignedError, StoreError
from oleada_store.trust_files import TrustFiles
from oleada_wire.messages import DIRECTOR_ROLE
from sqlalchemy import select
from tuf.api.metadata import Metadata, Root, Targets

from oleada_server import config as settings
from oleada_server.audit import service as audit
from oleada_server.db import db
from oleada_server.devices import service as devices
from oleada_server.live import service as live
from oleada_server.messaging import service as messaging
from oleada_server.releases import disk, metadata
from oleada_server.releases.errors import UntrustedFilesError
from oleada_server.releases.models import Release, TufFile


def install_trust(files: TrustFiles, actor: str, now: datetime) -> list[str]:
    """Install *files*; those that are installed already change nothing.

    Args:
        files: `oleada_store.trust_files.read_directory` of the ceremony's ``tuf``.
        actor: ``user:<name>`` or ``system:<process>``.
        now: Aware time.

    Returns:
        The names of the files that are new, such as ``1.root.json``; may be empty.

    Raises:
        UntrustedFilesError: damaged, not signed as they must be, expired, older than
            what is installed, or made for the keys of another server.
    """
    try:
        added = _install(files, now)
    except StoreError as error:
        db.session.rollback()
        raise UntrustedFilesError(f"Nothing was installed. {error}") from error
    if added:
        metadata.sign_snapshot(now)
        metadata.queue_meta(now)
        _follow_keys(now)
        audit.record(actor, "trust.install", "trust", now=now, after={"files": added})
        live.touch("releases", now)
        db.session.commit()
        disk.copy_metadata()
    else:
        db.session.rollback()
    return added


def _install(files: TrustFiles, now: datetime) -> list[str]:
    installed = metadata.current()
    if installed:
        metadata.lock()
        installed = metadata.current()
    chain = _merged_roots(files.roots, metadata.roots())
    root, targets = trust_files.trusted_targets(
        TrustFiles(tuple(chain), files.targets, files.models), now
    )
    _check_online_keys(root, targets)
    _check_no_model_lost(targets)
    new = [("root", i, body) for i, body in enumerate(chain, 1)]
    new.append(("targets", targets.version, files.targets))
    for model in repository.model_names(targets):
        new.append((model, *_role(model, files, installed.get(model), targets, now)))
    added = []
    for name, version, body in new:
        if _is_new(name, version, body, installed.get(name)):
            metadata.add(name, version, body)
            added.append(f"{version}.{name}.json")
    for model in repository.model_names(targets):
        devices.record_model(model)
    return added


def _merged_roots(given: tuple[bytes, ...], installed: list[bytes]) -> list[bytes]:
    chain = list(installed)
    for body in given:
        version = repository.read(Root, body, "root").signed.version
        if version > len(chain) + 1:
            raise UntrustedFilesError(
                f"Root {version} was given, but root {len(chain) + 1} is missing; carry the whole "
                "chain from 1.root.json on."
            )
        if version == len(chain) + 1:
            chain.append(body)
        elif chain[version - 1] != body:
            raise UntrustedFilesError(
                f"Another root {version} is installed. These files come from another ceremony; "
                "boxes would not follow them."
            )
    return chain


def _role(
    model: str, files: TrustFiles, installed: TufFile | None, targets: Targets, now: datetime
) -> tuple[int, bytes]:
    """Return version and bytes of the role of *model* that is to be published."""
    given = files.models.get(model)
    if given is None and installed is None:
        raise UntrustedFilesError(
            f"{model}.json is missing: targets.json delegates {model}, so its first metadata "
            "comes with it."
        )
    known = repository.read(Targets, installed.body, model) if installed else None
    role = repository.read(Targets, given, model) if given is not None else known
    assert role is not None  # noqa: S101 - one of the two is there
    if known is not None and role.signed.version <= known.signed.version:
        role = known  # a ceremony's directory keeps the first, empty role
    _check_releases(model, role, known)
    if role is known:
        _check_still_signed(targets, model, role)
    repository.verify(targets, model, role, now)
    if role is known:
        assert installed is not None  # noqa: S101 - it was read from there
        return known.signed.version, installed.body
    assert given is not None  # noqa: S101 - it was read from there
    return role.signed.version, given


def _check_still_signed(targets: Targets, model: str, role: Metadata[Targets]) -> None:
    """Refuse that *targets* takes from releases that are published a signature that they need."""
    try:
        repository.verify_signatures(targets, model, role)
    except NotSignedError as error:
        raise UntrustedFilesError(
            f"{model}.json is published in version {role.signed.version}, and this targets.json "
            f"names other signers for {model}. Copy {model}.json from this server's "
            f"{settings.current().tuf_dir} into the ceremony's tuf directory, then replace the "
            "key: it is signed again (oleada keys rotate)."
        ) from error


def _check_releases(model: str, role: Metadata[Targets], known: Metadata[Targets] | None) -> None:
    held = known.signed.targets if known is not None else {}
    if role.signed.targets != held:
        raise UntrustedFilesError(
            f"{model}.json holds other releases than are published. A release comes with its "
            "image, in a bundle: oleada release publish"
        )


def _is_new(name: str, version: int, body: bytes, installed: TufFile | None) -> bool:
    if installed is None or version > installed.version:
        return True
    if version < installed.version:
        if name == "root":
            return False  # checked in the chain
        raise UntrustedFilesError(
            f"Version {version} of {name} was given, but {installed.version} is installed; "
            "trust never goes back."
        )
    if name == "targets" and installed.body != body:
        raise UntrustedFilesError(
            f"Another targets.json with version {version} is installed. Sign the next version "
            "(oleada keys renew)."
        )
    return False


def _check_online_keys(root: Root, targets: Targets) -> None:
    signers = metadata.online_signers()
    held = {
        "snapshot": (root.roles["snapshot"].keyids, signers.snapshot.public_key.keyid),
        "timestamp": (root.roles["timestamp"].keyids, signers.timestamp.public_key.keyid),
        DIRECTOR_ROLE: (
            targets.get_delegated_role(DIRECTOR_ROLE).keyids,
            messaging.director().keyid,
        ),
    }
    for role, (keyids, own) in held.items():
        if own not in keyids:
            raise UntrustedFilesError(
                f"The ceremony named another {role} key than this server holds. Repeat it with "
                f"{settings.current().keys_dir / 'online-public.json'} of this server."
            )


def _check_no_model_lost(targets: Targets) -> None:
    delegated = set(repository.model_names(targets))
    released = set(db.session.scalars(select(Release.hardware_model).distinct()))
    if lost := sorted(released - delegated):
        raise UntrustedFilesError(
            f"targets.json does not delegate {', '.join(lost)} any more, but there are releases."
        )


def _follow_keys(now: datetime) -> None:
    # imported here: rollouts are built on releases, and only this one word goes back
    from oleada_server.rollouts import service as rollouts  # noqa: PLC0415

    rollouts.record_trust(now)
