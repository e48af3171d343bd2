"""The key ceremony: makes the offline keys and the first signed metadata.

    DIR/root-1.pem root-2.pem root-3.pem     any two sign the next root
    DIR/targets-1.pem -2.pem -3.pem          any two delegate models, director, wave approvers
    DIR/release-signer.pem approver.pem      both sign each release
    DIR/wave-approver-1.pem -2.pem -3.pem    any two sign each wave of a rollout
    DIR/public.json                          the public halves, by name
    DIR/tuf/1.root.json targets.json <model>.json

A key that is made in a security token leaves its name there instead (``root-1.uri``).
Each ``.pem`` then goes to its holder; the server gets ``tuf/`` alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from oleada_wire.envelope import keyid_of
from oleada_wire.ids import is_hardware_model
from tuf.api.metadata import Metadata, Root, Targets

from oleada_store import key_places, keys, repository, roles, token_keys, trust_files
from oleada_store.errors import BadMetadataError, KeyFileError, MisnamedReleaseError
from oleada_store.files import write_whole
from oleada_store.keys import PassphraseSource, SigningKey
from oleada_store.token_keys import PinOf
from oleada_store.token_uri import TokenUri

ROOT_KEYS: Final = ("root-1", "root-2", "root-3")
TARGETS_KEYS: Final = ("targets-1", "targets-2", "targets-3")
"""Any two of them say who signs releases and waves; one alone could name itself for all."""
MODEL_KEYS: Final = ("release-signer", "approver")
WAVE_KEYS: Final = ("wave-approver-1", "wave-approver-2", "wave-approver-3")
WAVE_THRESHOLD: Final = 2
"""Of ``WAVE_KEYS``: two people widen a rollout, and the third may be on holiday."""
OFFLINE_KEYS: Final = (*ROOT_KEYS, *TARGETS_KEYS, *MODEL_KEYS, *WAVE_KEYS)
PUBLIC_NAME: Final = "public.json"
TUF_FOLDER: Final = "tuf"

Offline = TypeVar("Offline", Root, Targets)
Passphrases = Callable[[str], bytes]
"""Returns the passphrase of a key by the key's name."""


@dataclass(frozen=True, slots=True)
class InTokens:
    """Which keys are made in security tokens, by name, and who knows the PINs.

    A key that a token holds already under that name is used as it is.
    """

    uris: Mapping[str, TokenUri]
    pin_of: PinOf


@dataclass(frozen=True, slots=True)
class WaveApprovers:
    """Who signs waves: public keys, and how many of them must."""

    keys: Sequence[Ed25519PublicKey]
    threshold: int

    def __post_init__(self) -> None:
        if len({key.public_bytes_raw() for key in self.keys}) < len(self.keys):
            raise KeyFileError("One key stands twice among the wave approvers; it is one person.")
        if not 1 <= self.threshold <= len(self.keys):
            raise KeyFileError(
                f"{self.threshold} of {len(self.keys)} wave approvers can not sign; the "
                "threshold is at least 1 and at most the number of keys."
            )


def make(
    out: Path,
    online: Mapping[str, Ed25519PublicKey],
    hardware_models: Sequence[str],
    passphrases: Passphrases,
    *,
    now: datetime,
    wave_approvers: WaveApprovers | None = None,
    tokens: InTokens | None = None,
) -> Path:
    """Make all offline keys and the first metadata in new directory *out*.

    Args:
        out: Must not hold a ceremony yet.
        online: The server's public keys for ``keys.ONLINE_ROLES``.
        hardware_models: At least one.
        passphrases: Asked once for each key.
        now: The metadata is valid from then on.
        wave_approvers: Whose keys sign waves; by default two of three that are made here.
            The director's key among them would let a stolen server widen a rollout.
        tokens: Which keys live in tokens; the others are files under a passphrase.

    Returns:
        The directory with the TUF files, which the server needs.

    Raises:
        KeyFileError: a key is there already, an online key is missing, no passphrase, or a
            token does not do its part; two keys that are one.
        MisnamedReleaseError: a model has a name that no model can have.
    """
    _require_models(hardware_models)
    if missing := [role for role in keys.ONLINE_ROLES if role not in online]:
        raise KeyFileError(f"The server's public keys lack {', '.join(missing)}.")
    _refuse_second_ceremony(out)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = [name for name in OFFLINE_KEYS if wave_approvers is None or name not in WAVE_KEYS]
    secret = _made(out, names, passphrases, tokens, online)
    public = {name: key.public_key() for name, key in secret.items()}
    keys.write_public(out / PUBLIC_NAME, {**public, **{r: online[r] for r in keys.ONLINE_ROLES}})
    waves = wave_approvers or WaveApprovers([public[name] for name in WAVE_KEYS], WAVE_THRESHOLD)
    layout = roles.Layout(
        root=[public[name] for name in ROOT_KEYS],
        targets=[public[name] for name in TARGETS_KEYS],
        snapshot=online["snapshot"],
        timestamp=online["timestamp"],
        director=online["director"],
        model_signers=[public[name] for name in MODEL_KEYS],
        wave_approvers=waves.keys,
        wave_threshold=waves.threshold,
        hardware_models=hardware_models,
    )
    (folder := out / TUF_FOLDER).mkdir(exist_ok=True)
    root, targets = roles.first_root(layout, now), roles.first_targets(layout, now)
    _sign_into(folder / "1.root.json", root, [secret[name] for name in ROOT_KEYS])
    signers = [secret[name] for name in MODEL_KEYS]
    for model in hardware_models:
        _sign_into(folder / f"{model}.json", roles.first_model(now), signers)
    # Last: when it is there, all is there.
    _sign_into(folder / "targets.json", targets, [secret[name] for name in TARGETS_KEYS])
    return folder


def add_model(out: Path, hardware_model: str, source: PassphraseSource, now: datetime) -> Path:
    """Delegate *hardware_model* in the ceremony of directory *out*.

    Returns:
        The directory with the TUF files: a next ``targets.json`` and a first role.

    Raises:
        KeyFileError: a key can not be opened.
        BadMetadataError: ``targets.json`` is damaged, or delegates the model already.
        MisnamedReleaseError: no model can have this name.
    """
    _require_models([hardware_model])
    folder = out / TUF_FOLDER
    targets = repository.read(Targets, _bytes(folder / "targets.json"), "targets")
    if hardware_model in repository.model_names(targets.signed):
        raise BadMetadataError(f"{hardware_model} is delegated already; nothing to do.")
    people = _signers(out, targets.signed)
    signers = [_open(out, name, source) for name in people]
    delegated = [key.public_key() for key in signers]
    roles.delegate_model(targets.signed, hardware_model, delegated)
    targets.signed.version += 1
    targets.signed.expires = roles.whole_seconds(now + roles.TARGETS_VALID)
    held = [name for name in _in_force(out) if key_places.held_in(out, name).exists()]
    delegating = [_open(out, name, source) for name in held[: roles.TARGETS_THRESHOLD]]
    _sign_into(folder / f"{hardware_model}.json", roles.first_model(now), signers)
    _sign_into(folder / "targets.json", targets, delegating)
    return folder


def next_name(names: Iterable[str], lost: str) -> str:
    """Return the name of the key that follows *lost* among *names*: root-4 after root-1 to -3.

    A key without a number, such as ``approver``, is the first of its kind.
    """
    kind = kind_of(lost)
    numbers = [number_of(name) for name in names if kind_of(name) == kind]
    return f"{kind}-{max(numbers, default=0) + 1}"


def kind_of(name: str) -> str:
    """Return *name* without its number: root of root-1."""
    kind, _, number = name.rpartition("-")
    return kind if kind and number.isdigit() else name


def number_of(name: str) -> int:
    """Return the number of *name*: 4 of root-4, 1 of approver."""
    return int(name[len(kind_of(name)) + 1 :] or 1)


def renew(
    data: bytes, signers: Sequence[SigningKey], valid: timedelta, now: datetime
) -> tuple[str, bytes]:
    """Return the next version of offline metadata *data*, valid for *valid* from *now*.

    Returns:
        The version prefix of its file name (``2.`` for a root, else nothing), its bytes.

    Raises:
        BadMetadataError: *data* is not root or targets metadata.
    """
    try:
        root = repository.read(Root, data, "the file")
    except BadMetadataError:
        targets = repository.read(Targets, data, "the file")
        return "", _next(targets, signers, now + valid)
    return f"{root.signed.version + 1}.", _next(root, signers, now + valid)


def _next(metadata: Metadata[Offline], signers: Sequence[SigningKey], expires: datetime) -> bytes:
    metadata.signed.version += 1
    metadata.signed.expires = roles.whole_seconds(expires)
    return _signed(metadata, signers)


def _signed(metadata: Metadata[Offline], signers: Sequence[SigningKey]) -> bytes:
    metadata.signatures.clear()
    for key in signers:
        metadata.sign(keys.tuf_signer(key), append=True)
    return repository.write(metadata)


def _sign_into(path: Path, metadata: Metadata[Offline], signers: Sequence[SigningKey]) -> None:
    write_whole(path, _signed(metadata, signers))


def _signers(out: Path, targets: Targets) -> list[str]:
    """Return the names of those who sign releases of the models that *targets* delegates."""
    keyids: Sequence[str] = ()
    for model in repository.model_names(targets)[:1]:
        keyids = targets.get_delegated_role(model).keyids
    found = _called(out, keyids)
    return sorted(found, key=lambda name: kind_of(name) != MODEL_KEYS[0])


def _in_force(out: Path) -> list[str]:
    """Return the names of those who sign targets, as the newest root has it."""
    body = trust_files.read_directory(out / TUF_FOLDER).roots[-1]
    return _called(out, repository.read(Root, body, "root").signed.roles["targets"].keyids)


def _called(out: Path, keyids: Sequence[str]) -> list[str]:
    public = keys.read_public(out / PUBLIC_NAME)
    return [name for name, key in public.items() if keyid_of(key) in keyids]


def _open(out: Path, name: str, source: PassphraseSource) -> SigningKey:
    return key_places.open_key(key_places.held_in(out, name), source)


def _made(
    out: Path,
    names: Sequence[str],
    passphrases: Passphrases,
    tokens: InTokens | None,
    online: Mapping[str, Ed25519PublicKey],
) -> dict[str, SigningKey]:
    """Return a key for each of *names*, made where it is to live; the tokens' come first."""
    uris = tokens.uris if tokens is not None else {}
    found: dict[str, SigningKey] = {}
    for name in names:
        if tokens is not None and name in uris:
            found[name] = token_keys.make_or_open(uris[name], tokens.pin_of(uris[name]))[0]
    held = {name: key.public_key() for name, key in found.items()}
    _require_distinct([*online.items(), *held.items()] if held else [])
    for name in names:
        if name in uris:
            key_places.write(out / f"{name}{key_places.SUFFIX}", uris[name])
        else:
            fresh = Ed25519PrivateKey.generate()
            keys.write_encrypted(out / f"{name}.pem", fresh, passphrases(name))
            found[name] = fresh
    return found


def _require_distinct(public: Sequence[tuple[str, Ed25519PublicKey]]) -> None:
    """Refuse one key under two names: it would look like two people."""
    names: dict[bytes, str] = {}
    for name, key in public:
        other = names.setdefault(key.public_bytes_raw(), name)
        if other != name:
            raise KeyFileError(
                f"{other} and {name} are one and the same key; give each of them its own."
            )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadMetadataError(f"{path} can not be read: {error.strerror}.") from error


def _refuse_second_ceremony(out: Path) -> None:
    there = [name for name in OFFLINE_KEYS if key_places.held_in(out, name).exists()]
    if there:
        raise KeyFileError(
            f"{out} holds the keys of a ceremony already ({', '.join(there)}); keys are never "
            "overwritten. Choose a new directory."
        )


def _require_models(hardware_models: Sequence[str]) -> None:
    if not hardware_models:
        raise MisnamedReleaseError("Name at least one hardware model: --model VX-410")
    for name in hardware_models:
        if not is_hardware_model(name):
            raise MisnamedReleaseError(
                f"{name!r} is not the name of a hardware model: capital letters, digits and "
                "dashes, such as VX-410."
            )
