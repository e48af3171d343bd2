"""``oleada release show`` and ``oleada keys show``: what is signed, in words; nothing is signed."""

from pathlib import Path

import click
from oleada_wire.envelope import keyid_of

from oleada_store import keys, showing, signing, trust_files
from oleada_store.clock import now_utc
from oleada_store.errors import NotBelievedError
from oleada_store.options import FOLDER, THERE, base_options, read_base

PUBLIC = click.option(
    "--public", type=THERE, help="public.json of the ceremony, to call the keys by their names."
)


@click.command("show")
@click.argument("file", type=THERE)
@PUBLIC
@base_options(required=False)
def show_bundle(file: Path, *, public: Path | None, base: str | None, root: Path | None) -> None:
    """Say in words what is in bundle FILE and who has signed it, and check its image.

    With --base ends with 0 if it could be published as it is, and else says why not and
    ends with 1. Nothing is signed and nothing is asked.
    """
    if root is not None and base is None:
        raise click.UsageError("--root needs --base, the metadata that it is the root of.")
    trusted = None
    if base is not None:
        model = signing.read_statement(file).hardware_model
        trusted = trust_files.trusted_model(read_base(base, root, model), model, now_utc())
    _print(showing.of_bundle(file, trusted, _names(public), now_utc()))


@click.command("show")
@click.argument("directory", type=FOLDER)
@PUBLIC
def show_metadata(directory: Path, public: Path | None) -> None:
    """Say in words what the metadata in DIRECTORY says, from the first root down to releases.

    Ends with 1 if boxes that trust the first root would not believe it.
    """
    _print(showing.of_folder(directory, _names(public), now_utc()))


def _names(public: Path | None) -> dict[str, str]:
    found = keys.read_public(public) if public is not None else {}
    return {keyid_of(key): name for name, key in found.items()}


def _print(found: showing.Shown) -> None:
    for line in found.lines:
        click.echo(line)
    for objection in found.objections:
        click.echo(f"NOT BELIEVED: {objection}")
    if found.objections:
        count = len(found.objections)
        raise NotBelievedError(
            f"This is not believed, for {count} {'reason' if count == 1 else 'reasons'}; the lines "
            "that begin with NOT BELIEVED say why."
        )
    click.echo("Every signature that is needed is there.")
