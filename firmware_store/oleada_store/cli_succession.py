"""``oleada keys rotate``, ``sign`` and ``drill``: what comes after the ceremony.

Nothing is written before somebody has said yes to the words and every signature that is at
hand has been made; then all files are written together (`together`).
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from oleada_wire.envelope import keyid_of
from tuf.api.metadata import Metadata, Root, Targets

from oleada_store import (
    ceremony,
    drill,
    key_places,
    keys,
    repository,
    succession,
    together,
    token_keys,
    token_uri,
    trust_files,
)
from oleada_store.clock import now_utc
from oleada_store.errors import CutOffError, KeyFileError
from oleada_store.files import write_whole
from oleada_store.key_places import KeyPlace
from oleada_store.keys import PassphraseSource, SigningKey
from oleada_store.options import FOLDER, KEY, THERE, passphrase_options, passphrases
from oleada_store.succession import Change
from oleada_store.together import Content
from oleada_store.token_uri import TokenUri


@dataclass(slots=True)
class Rotation:
    """What a rotation does to the ceremony in *directory*; nothing of it is written yet.

    Attributes:
        names: Every public key that ever had a name, those that go too: whoever reads what
            was, or takes back what is not signed enough, needs them.
        called: What people call a key, by its id.
        fresh: The new keys by name; those in a token have its URI in *tokens*.
    """

    directory: Path
    files: trust_files.TrustFiles
    names: dict[str, Ed25519PublicKey]
    called: dict[str, str]
    fresh: dict[str, SigningKey] = field(default_factory=dict)
    tokens: dict[str, TokenUri] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def lose(self, name: str, token: TokenUri | None, source: PassphraseSource) -> None:
        """Let a new key stand wherever key *name* stands.

        Raises:
            KeyFileError: there is no such key, or the new one is one of the others.
            BadMetadataError: the key signs nothing, or a file is damaged.
        """
        if name in keys.ONLINE_ROLES:
            raise KeyFileError(f"{name} is a key of the server; new ones come with --online FILE.")
        if name not in self.names:
            raise KeyFileError(f"{self.directory} knows no key {name!r}; see public.json.")
        new = self._make(ceremony.next_name(self.names, name), token, source)
        self.changes = succession.replaced_key(self.files, self.names[name], new, now_utc())

    def take(self, online: Mapping[str, Ed25519PublicKey]) -> None:
        """Let the keys of another server stand where those of the old one stand.

        Raises:
            KeyFileError: one is missing.
            BadMetadataError: a file is damaged.
        """
        if missing := [role for role in keys.ONLINE_ROLES if role not in online]:
            raise KeyFileError(f"The server's public keys lack {', '.join(missing)}.")
        self.names |= {role: online[role] for role in keys.ONLINE_ROLES}
        self._call(self.names)
        self.changes = succession.replaced_online_keys(self.files, online, now_utc())

    def share_targets(self) -> None:
        """Make the keys of targets three, of which two must sign.

        Raises:
            BadMetadataError: two must already, or a file is damaged.
        """
        new = [
            self._make(ceremony.next_name(self.names, ceremony.TARGETS_KEYS[0]), None, None)
            for _ in range(succession.missing_targets_keys(self.files))
        ]
        self.changes = succession.two_sign_targets(self.files, new, now_utc())

    def let_people_sign_waves(self) -> None:
        """Make three keys of wave approvers, of whom two must sign, where the server signed.

        Raises:
            BadMetadataError: people sign waves already, or a file is damaged.
        """
        new = [
            self._make(ceremony.next_name(self.names, name), None, None)
            for name in ceremony.WAVE_KEYS
        ]
        self.changes = succession.people_sign_waves(
            self.files, new, ceremony.WAVE_THRESHOLD, now_utc()
        )

    def sign(self, signers: Sequence[tuple[str, SigningKey]]) -> None:
        """Sign with *signers*, whom people call so, what each may; say who may nothing."""
        for name, key in [*signers, *self.fresh.items()]:
            asked = [change for change in self.changes if change.counts(key.public_key())]
            if not asked and name not in self.fresh:
                click.echo(f"{name} says nothing for any of these; it is not used.", err=True)
            for change in asked:
                change.sign(key)

    def contents(self, source: PassphraseSource) -> dict[str, Content]:
        """Return every file that is to be written, by its name in the directory.

        Raises:
            KeyFileError: a new key's file is there already, or has no passphrase.
        """
        found = {}
        for name, key in self.fresh.items():
            path = key_places.new_place(self.directory, name, in_token=name in self.tokens)
            if isinstance(key, Ed25519PrivateKey):
                found[path.name] = Content(keys.encrypted(path, key, source.read(name)), True)
            else:
                found[path.name] = Content(key_places.file_of(path, self.tokens[name]))
        for change in self.changes:
            found[f"{ceremony.TUF_FOLDER}/{change.file_name}"] = Content(change.written())
            if change.role == "targets":  # for whoever signs elsewhere: what it changes
                found[f"{ceremony.TUF_FOLDER}/{_before(change)}"] = Content(self.files.targets)
        return found | {ceremony.PUBLIC_NAME: Content(keys.public_file(self.names))}

    def _make(
        self, name: str, token: TokenUri | None, source: PassphraseSource | None
    ) -> Ed25519PublicKey:
        key: SigningKey = Ed25519PrivateKey.generate()
        if token is not None and source is not None:
            key, _ = token_keys.make_or_open(token, source.pin(token))
            self.tokens[name] = token
        public = key.public_key()
        if public.public_bytes_raw() in {one.public_bytes_raw() for one in self.names.values()}:
            raise KeyFileError(f"The key {token} is in use already; a new key is needed.")
        self.names[name] = public
        self.fresh[name] = key
        self._call({name: public})
        return public

    def _call(self, names: Mapping[str, Ed25519PublicKey]) -> None:
        self.called |= {keyid_of(key): name for name, key in names.items()}


@click.command("rotate")
@click.argument("directory", type=FOLDER)
@click.option("--lost", help="Name of the key to replace, as in public.json: root-1, targets-2.")
@click.option(
    "--online",
    type=THERE,
    help="online-public.json of a new server: its keys replace the old server's.",
)
@click.option(
    "--two-sign-targets",
    is_flag=True,
    help="In a ceremony with one key of targets: make it three, of which two must sign.",
)
@click.option(
    "--people-sign-waves",
    is_flag=True,
    help="In a ceremony with --waves-by-server: make three wave approvers, of whom two must sign.",
)
@click.option("--key", "key_files", type=KEY, multiple=True, required=True, help="Repeatable.")
@click.option(
    "--token",
    metavar="URI",
    help="Make the new key in a security token: 'pkcs11:token=Alice;object=root-4'.",
)
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
def rotate(
    directory: Path,
    *,
    lost: str | None,
    online: Path | None,
    two_sign_targets: bool,
    people_sign_waves: bool,
    key_files: tuple[KeyPlace, ...],
    token: str | None,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Write what follows in the ceremony of DIRECTORY, with other keys in it.

    A lost or stolen offline key is replaced by a new one, made here; what it had signed is
    signed again. Whoever is not here adds their signature with `oleada keys sign`.
    All files are written, or none.
    """
    if [bool(lost), bool(online), two_sign_targets, people_sign_waves].count(True) != 1:
        raise click.UsageError(
            "Give one of --lost NAME, --online FILE, --two-sign-targets and --people-sign-waves."
        )
    if token is not None and lost is None:
        raise click.UsageError("--token is for the key that replaces a lost one: --lost NAME.")
    rotation = _begin(directory)
    source = passphrases(passphrase_file, passphrase_env)
    if lost is not None:
        uri = token_uri.parse(token) if token is not None else None
        rotation.lose(lost, uri, source)
    elif online is not None:
        rotation.take(keys.read_public(online))
    elif two_sign_targets:
        rotation.share_targets()
    else:
        rotation.let_people_sign_waves()
    _say(rotation.changes, rotation.called, yes=yes)
    rotation.sign(
        [(key_places.name_of(one), key_places.open_key(one, source)) for one in key_files]
    )
    together.write_together(directory, rotation.contents(source))
    for name in rotation.fresh:
        place = key_places.held_in(directory, name)
        click.echo(f"{place} is new; give it to its holder.")
    for change in rotation.changes:
        _tell(directory / ceremony.TUF_FOLDER / change.file_name, change)


@click.command("sign")
@click.argument("file", type=THERE)
@click.option("--key", required=True, type=KEY, help="Your offline key.")
@click.option(
    "--public", type=THERE, help="public.json of the ceremony, to call the keys by their names."
)
@click.option(
    "--root",
    type=THERE,
    help="Your own copy of the first root, 1.root.json, from where nobody else can write.",
)
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
def sign(
    file: Path,
    *,
    key: KeyPlace,
    public: Path | None,
    root: Path | None,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Say in words what a next root, targets or model's FILE says, then add your signature.

    What is in force lies beside FILE: the roots under their numbers, and targets.json.
    A folder that came from elsewhere may hold roots that were all forged; with --root they
    have to begin with yours.
    """
    refuse_what_was_cut_off(file.absolute().parent.parent)
    files = trust_files.read_directory(file.parent)
    if root is not None:
        trust_files.require_first(files, root)
    change = _as_it_lies(file, files)
    names = keys.read_public(public) if public is not None else {}
    _say([change], {keyid_of(one): name for name, one in names.items()}, yes=yes)
    change.sign(key_places.open_key(key, passphrases(passphrase_file, passphrase_env)))
    write_whole(file, change.written())
    _tell(file, change)


@click.command("drill")
@click.option(
    "--token",
    metavar="URI",
    help="Make the root keys of the drill in this security token, and remove them at the end.",
)
def rehearse(token: str | None) -> None:
    """Rehearse the loss of a root key, with keys that are made for it and thrown away.

    Ends with 1 if a step does not end as it must. Nothing of yours is read or written.
    """
    maker = drill.KeyMaker()
    if token is not None:
        uri = token_uri.parse(token)
        maker = drill.TokenKeyMaker(uri, passphrases(None, None).pin(uri))
    with tempfile.TemporaryDirectory(prefix="oleada-drill-") as home, maker:
        for step in drill.Drill(Path(home), now_utc(), maker.make).play():
            click.echo(f"ok    {step}")
    click.echo("The drill has passed. Now find two of your own root keys, and open them.")


def refuse_what_was_cut_off(directory: Path) -> None:
    """Finish what a power cut ended in the ceremony of *directory*, and say so instead of going on.

    Raises:
        CutOffError: there was something, and it is finished now.
    """
    if written := together.finish(directory):
        raise CutOffError(written)


def _begin(directory: Path) -> Rotation:
    refuse_what_was_cut_off(directory)
    names = keys.read_public(directory / ceremony.PUBLIC_NAME)
    files = trust_files.read_directory(directory / ceremony.TUF_FOLDER)
    succession.require_settled(files)
    return Rotation(directory, files, names, {keyid_of(key): name for name, key in names.items()})


def _as_it_lies(file: Path, files: trust_files.TrustFiles) -> Change:
    found = succession.read_offline(file.read_bytes())
    chain = [repository.read(Root, body, "root") for body in files.roots]
    if isinstance(found.signed, Root):
        number = found.signed.version
        before = [root for root in chain if root.signed.version < number]
        if not before:
            raise KeyFileError(f"The root before {file.name} must lie beside it.")
        succession.require_chain(before)
        return Change("root", found, before[-1], (before[-1].signed, found.signed))
    if file.name == "targets.json":
        held = [_targets(path.read_bytes()) for path in file.parent.glob("*.targets.json")]
        signed = succession.in_force(held, chain, found.signed.version)
        if signed is None and found.signed.version > 1:
            click.echo("No signed targets of before lie beside it: nothing is marked as new.")
        return Change("targets", found, signed, (chain[-1].signed,))
    targets = _targets(files.targets)
    repository.require_model(targets.signed, file.stem)
    return Change(file.stem, found, None, (targets.signed,))


def _targets(data: bytes) -> Metadata[Targets]:
    return repository.read(Targets, data, "targets")


def _before(change: Change) -> str:
    """Return how the file of what *change* follows is called, beside it."""
    return f"{change.after.signed.version - 1}.targets.json"


def _say(changes: Sequence[Change], called: Mapping[str, str], *, yes: bool) -> None:
    click.echo("You sign:")
    for change in changes:
        for line in change.lines(called):
            click.echo(f"  {line}")
    if not yes:
        click.confirm("Is this what everybody is to believe?", abort=True, err=True)


def _tell(path: Path, change: Change) -> None:
    if change.is_complete():
        click.echo(f"{path} is signed. Carry its directory to the server: oleada release trust DIR")
    else:
        click.echo(f"{path} needs more signatures: oleada keys sign {path} --key KEY.pem")
