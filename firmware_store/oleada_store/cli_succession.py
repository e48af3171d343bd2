"""``oleada keys rotate``, ``sign`` and ``drill``: what comes after the ceremony."""

import tempfile
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from oleada_wire.envelope import keyid_of
from tuf.api.metadata import Metadata, Root

from oleada_store import (
    ceremony,
    drill,
    key_places,
    keys,
    repository,
    succession,
    token_keys,
    token_uri,
    trust_files,
)
from oleada_store.clock import now_utc
from oleada_store.errors import KeyFileError
from oleada_store.files import write_whole
from oleada_store.key_places import KeyPlace
from oleada_store.keys import PassphraseSource, SigningKey
from oleada_store.options import FOLDER, KEY, THERE, passphrase_options, passphrases
from oleada_store.succession import Offline


@click.command("rotate")
@click.argument("directory", type=FOLDER)
@click.option("--lost", help="Name of the root key to replace, as in public.json: root-1.")
@click.option(
    "--online",
    type=THERE,
    help="online-public.json of a new server: its keys replace the old server's.",
)
@click.option("--key", "key_files", type=KEY, multiple=True, required=True, help="Repeatable.")
@click.option(
    "--token",
    metavar="URI",
    help="Make the new root key in a security token: 'pkcs11:token=Alice;object=root-4'.",
)
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
def rotate(
    directory: Path,
    *,
    lost: str | None,
    online: Path | None,
    key_files: tuple[KeyPlace, ...],
    token: str | None,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Write the next root of the ceremony in DIRECTORY, with other keys in it.

    A lost root key is replaced by a new one, made here. Whoever is not here adds their
    signature with `oleada keys sign`.
    """
    if (lost is None) == (online is None):
        raise click.UsageError("Give --lost NAME or --online FILE.")
    if token is not None and lost is None:
        raise click.UsageError("--token is for the key that replaces a lost one: --lost NAME.")
    folder = directory / ceremony.TUF_FOLDER
    names = keys.read_public(directory / ceremony.PUBLIC_NAME)
    before_root = trust_files.read_directory(folder).roots[-1]
    before = repository.read(Root, before_root, "root")
    called = {keyid_of(key): name for name, key in names.items()}
    source = passphrases(passphrase_file, passphrase_env)
    now = now_utc()
    fresh: list[SigningKey] = []
    written: list[tuple[Path, Offline, Offline]] = []
    if lost is not None:
        root, fresh_key = _without(directory, lost, names, token, source)
        fresh.append(fresh_key)
        written.append((folder / f"{root.signed.version}.root.json", root, before))
    elif online is not None:
        found = keys.read_public(online)
        names |= found
        old = (folder / "targets.json").read_bytes()
        root, targets = succession.replaced_online_keys(before_root, old, found, now)
        written.append((folder / f"{root.signed.version}.root.json", root, before))
        written.append((folder / "targets.json", targets, succession.read_offline(old)))
    called |= {keyid_of(key): name for name, key in names.items()}
    _say(written, called, yes=yes)
    opened = [key_places.open_key(place, source) for place in key_files]
    for path, after, _ in written:
        _sign_all(path, after, [*opened, *fresh], before)
    keys.write_public(directory / ceremony.PUBLIC_NAME, names)


@click.command("sign")
@click.argument("file", type=THERE)
@click.option("--key", required=True, type=KEY, help="Your offline key.")
@click.option(
    "--public", type=THERE, help="public.json of the ceremony, to call the keys by their names."
)
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
def sign(
    file: Path,
    *,
    key: KeyPlace,
    public: Path | None,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Say in words what a next root or targets FILE changes, then add your signature.

    The root in force lies beside FILE, under its number.
    """
    found = succession.read_offline(file.read_bytes())
    roots = [
        body
        for body in trust_files.read_directory(file.parent).roots
        if repository.read(Root, body, "root").signed.version < found.signed.version
        or not isinstance(found.signed, Root)
    ]
    if not roots:
        raise KeyFileError(f"The root before {file.name} must lie beside it.")
    before = repository.read(Root, roots[-1], "root")
    names = keys.read_public(public) if public is not None else {}
    called = {keyid_of(one): name for name, one in names.items()}
    _say([(file, found, before if isinstance(found.signed, Root) else found)], called, yes=yes)
    source = passphrases(passphrase_file, passphrase_env)
    _sign_all(file, found, [key_places.open_key(key, source)], before)


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


def _say(
    written: list[tuple[Path, Offline, Offline]], called: dict[str, str], *, yes: bool
) -> None:
    click.echo("You sign:")
    for _, after, before in written:
        for line in succession.lines(after, before, called):
            click.echo(f"  {line}")
    if not yes:
        click.confirm("Is this what everybody is to believe?", abort=True, err=True)


def _sign_all(
    path: Path, found: Offline, signers: list[SigningKey], before: Metadata[Root]
) -> None:
    role = "root" if isinstance(found.signed, Root) else "targets"
    named = {*before.signed.roles[role].keyids}
    if isinstance(found.signed, Root):
        named |= {*found.signed.roles[role].keyids}
    for key in signers:
        if keyid_of(key.public_key()) in named:
            succession.add_signature(found, key, before)
    write_whole(path, succession.written(found))
    if succession.is_complete(found, before):
        click.echo(f"{path} is signed. Carry its directory to the server: oleada release trust DIR")
    else:
        click.echo(f"{path} needs more signatures: oleada keys sign {path} --key KEY.pem")


def _without(
    directory: Path,
    lost: str,
    names: dict[str, Ed25519PublicKey],
    token: str | None,
    source: PassphraseSource,
) -> tuple[Metadata[Root], SigningKey]:
    """Return the next root without key *lost*, and the key that stands there, kept by now.

    *names* is brought to what is so then.

    Raises:
        KeyFileError: there is no such key, or the new one is one of the others.
    """
    if lost not in names:
        raise KeyFileError(f"{directory} knows no key {lost!r}; see {ceremony.PUBLIC_NAME}.")
    name = _next_name(names)
    uri = token_uri.parse(token) if token is not None else None
    fresh: SigningKey = Ed25519PrivateKey.generate()
    if uri is not None:
        fresh, _ = token_keys.make_or_open(uri, source.pin(uri))
    raw = fresh.public_key().public_bytes_raw()
    if raw in {key.public_bytes_raw() for key in names.values()}:
        raise KeyFileError(f"The key {uri} is in use already; a new key is needed.")
    before = trust_files.read_directory(directory / ceremony.TUF_FOLDER).roots[-1]
    root = succession.replaced_root_key(before, names.pop(lost), fresh.public_key(), now_utc())
    names[name] = fresh.public_key()
    path = directory / f"{name}.pem"
    if uri is not None:
        path = path.with_suffix(key_places.SUFFIX)
        key_places.write(path, uri)
    elif isinstance(fresh, Ed25519PrivateKey):
        keys.write_encrypted(path, fresh, source.read(name))
    click.echo(f"{path} is new; give it to its holder.")
    return root, fresh


def _next_name(names: dict[str, Ed25519PublicKey]) -> str:
    numbers = [int(name[5:]) for name in names if name.startswith("root-") and name[5:].isdigit()]
    return f"root-{max(numbers, default=0) + 1}"
