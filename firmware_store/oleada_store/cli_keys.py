"""``oleada keys``: the ceremony that makes the offline keys, and what comes after it."""

from datetime import timedelta
from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from oleada_wire.envelope import keyid_of

from oleada_store import ceremony, key_places, keys
from oleada_store.cli_show import show_metadata
from oleada_store.cli_succession import refuse_what_was_cut_off, rehearse, rotate, sign
from oleada_store.clock import now_utc
from oleada_store.errors import KeyFileError
from oleada_store.files import write_whole
from oleada_store.key_places import KeyPlace
from oleada_store.options import (
    FILE,
    FOLDER,
    KEY,
    THERE,
    StoreGroup,
    passphrase_options,
    passphrases,
)


@click.group("keys", cls=StoreGroup)
def keys_group() -> None:
    """Make and renew the offline keys that say what boxes may run."""


for command in (rotate, sign, rehearse, show_metadata):
    keys_group.add_command(command)


@keys_group.command("init")
@click.option("--out", required=True, type=FOLDER, help="New directory for the keys.")
@click.option(
    "--online",
    required=True,
    type=FILE,
    help="The server's online-public.json (in its keys directory).",
)
@click.option("--model", "models", multiple=True, required=True, help="Repeatable.")
@click.option(
    "--wave-key",
    "wave_keys",
    type=FILE,
    multiple=True,
    help="JSON of public keys that sign waves; by default three are made, of which two must.",
)
@click.option("--wave-threshold", type=click.IntRange(min=1), help="How many of them must.")
@click.option(
    "--waves-by-server",
    is_flag=True,
    help="Let the server's own key sign waves: whoever steals the server may then widen one.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="NAME=URI",
    help="Keep key NAME in a security token, such as root-1='pkcs11:token=Alice;object=root-1'; "
    "made there if it is not there yet. Repeatable.",
)
@passphrase_options
def init(
    *,
    out: Path,
    online: Path,
    models: tuple[str, ...],
    wave_keys: tuple[Path, ...],
    wave_threshold: int | None,
    waves_by_server: bool,
    tokens: tuple[str, ...],
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Make all offline keys and the first signed metadata."""
    source = passphrases(passphrase_file, passphrase_env, new=True)
    public = keys.read_public(online)
    if waves_by_server and (wave_keys or wave_threshold):
        raise click.UsageError("Give --waves-by-server or --wave-key, not both.")
    approvers = _wave_approvers(wave_keys, wave_threshold)
    if approvers is not None and not {*map(keyid_of, approvers.keys)}.isdisjoint(
        map(keyid_of, public.values())
    ):
        raise KeyFileError(
            "A key of the server stands among the wave approvers: whoever steals the server could "
            "widen a rollout. If that is meant, say --waves-by-server."
        )
    if waves_by_server:
        approvers = ceremony.WaveApprovers([public["director"]], 1)
    held = key_places.named(tokens, ceremony.OFFLINE_KEYS)
    folder = ceremony.make(
        out,
        public,
        models,
        source.read,
        now=now_utc(),
        wave_approvers=approvers,
        tokens=ceremony.InTokens(held, source.pin),
    )
    click.echo(f"Keys are in {out}; give each to its holder and keep none of them on the server.")
    click.echo(f"Carry {folder} to the server and run there: oleada release trust DIR")


@keys_group.command("add-model")
@click.argument("directory", type=FOLDER)
@click.option("--model", required=True, help="The new hardware model.")
@passphrase_options
def add_model(
    directory: Path, model: str, passphrase_file: Path | None, passphrase_env: str | None
) -> None:
    """Let the release signers of the ceremony in DIRECTORY sign for one more model."""
    refuse_what_was_cut_off(directory)
    source = passphrases(passphrase_file, passphrase_env)
    folder = ceremony.add_model(directory, model, source, now_utc())
    click.echo(f"{model} is delegated. Carry {folder} to the server: oleada release trust DIR")


@keys_group.command("renew")
@click.argument("file", type=THERE)
@click.option("--key", "key_files", type=KEY, multiple=True, required=True, help="Repeatable.")
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=365,
    show_default=True,
    help="How long FILE is valid from now on.",
)
@passphrase_options
def renew(
    file: Path,
    key_files: tuple[KeyPlace, ...],
    days: int,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Sign the next version of offline metadata FILE, as it is, for more days.

    A root gets a new file beside the old one, anything else takes the old one's place.
    """
    refuse_what_was_cut_off(file.absolute().parent.parent)
    source = passphrases(passphrase_file, passphrase_env)
    opened = [key_places.open_key(place, source) for place in key_files]
    prefix, content = ceremony.renew(file.read_bytes(), opened, timedelta(days=days), now_utc())
    target = file.with_name(f"{prefix}root.json") if prefix else file
    write_whole(target, content)
    click.echo(f"{target}: carry its directory to the server: oleada release trust DIR")


@keys_group.command("online")
@click.argument("directory", type=FOLDER)
def online(directory: Path) -> None:
    """Make the server's online keys in DIRECTORY where they are missing."""
    keys.make_online_keys(directory)
    click.echo(f"{directory / keys.ONLINE_PUBLIC_NAME}: carry it to the ceremony.")


def _wave_approvers(
    files: tuple[Path, ...], threshold: int | None
) -> ceremony.WaveApprovers | None:
    if not files:
        if threshold is not None:
            raise click.UsageError("--wave-threshold needs --wave-key.")
        return None
    found: list[Ed25519PublicKey] = []
    for path in files:
        found += keys.read_public(path).values()
    return ceremony.WaveApprovers(found, threshold or len(found))
