"""``oleada release``: build and sign, on the signer's machine, without a server.

The server's package adds publish, withdraw and list to the same group.
"""

from pathlib import Path

import click
from oleada_wire.errors import MalformedMessageError
from oleada_wire.release import ReleaseInfo

from oleada_store import signing, trust_files
from oleada_store.cli_keys import keys_group
from oleada_store.cli_show import show_bundle
from oleada_store.clock import now_utc
from oleada_store.key_places import KeyPlace, name_of, open_key
from oleada_store.options import (
    FILE,
    KEY,
    THERE,
    StoreGroup,
    base_options,
    passphrase_options,
    passphrases,
    read_base,
)
from oleada_store.roles import MODEL_THRESHOLD

__all__ = ["keys_group", "release_group"]


@click.group("release", cls=StoreGroup)
def release_group() -> None:
    """Build, sign, publish and withdraw firmware releases."""


release_group.add_command(show_bundle)


def _build_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--model", required=True, help="Hardware model, such as VX-410."),
        click.option(
            "--also-model", multiple=True, help="Another model that the image runs on; repeatable."
        ),
        click.option("--version", required=True, help="Dotted numbers, such as 5.8.2."),
        click.option(
            "--security-version",
            required=True,
            type=click.IntRange(min=1),
            help="Raise it only when going back would be unsafe: boxes then never do.",
        ),
        click.option("--min-version", help="Oldest version a box may come from."),
        click.option(
            "--provides", multiple=True, help="Such as codec:hevc-main10, drm:widevine-l1."
        ),
        click.option(
            "--depends", multiple=True, help="What a box must be able to do, as --provides says it."
        ),
        click.option(
            "--must-pass",
            is_flag=True,
            help="No box below it may skip it on the way to a newer one.",
        ),
        click.option("--fixes", multiple=True, help="Id of a fault it fixes, such as F-118."),
        click.option(
            "--note", multiple=True, metavar="LANG=TEXT", help="Release note; 'en' is needed."
        ),
        click.option("-o", "--out", required=True, type=FILE, help="The bundle to write."),
    ):
        command = option(command)
    return command


@release_group.command("build")
@click.argument("image", type=THERE)
@_build_options
@base_options(required=True)
def build(
    image: Path,
    *,
    model: str,
    also_model: tuple[str, ...],
    version: str,
    security_version: int,
    min_version: str | None,
    provides: tuple[str, ...],
    depends: tuple[str, ...],
    must_pass: bool,
    fixes: tuple[str, ...],
    note: tuple[str, ...],
    base: str,
    root: Path | None,
    out: Path,
) -> None:
    """Make an unsigned bundle of IMAGE on top of what is published."""
    try:
        info = ReleaseInfo(
            hardware_models=(model, *also_model),
            version=version,
            security_version=security_version,
            notes=_notes(note),
            min_version=min_version,
            provides=provides,
            depends=depends or None,
            must_pass=must_pass or None,
            fixes=fixes,
        )
    except ValueError as error:
        raise MalformedMessageError(f"This is not a release: {error}.") from error
    now = now_utc()
    trusted = trust_files.trusted_model(read_base(base, root, model), model, now)
    made = signing.build(image, info, trusted, out, base_name=base, now=now)
    click.echo(f"{out}: {made.target_path}, {made.size_bytes} bytes, SHA-256 {made.sha256}")
    click.echo("Not signed yet. Release signer and approver each run: ", nl=False)
    click.echo(f"oleada release sign {out} --key KEY.pem")


@release_group.command("sign")
@click.argument("file", type=THERE)
@click.option("--key", required=True, type=KEY, help="Your offline key.")
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
@base_options(required=False)
def sign(
    file: Path,
    *,
    key: KeyPlace,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
    base: str | None,
    root: Path | None,
) -> None:
    """Say in words what is in bundle FILE, then sign it with your key."""
    said = signing.read_statement(file)
    trusted = None
    if base is not None:
        files = read_base(base, root, said.hardware_model)
        trusted = trust_files.trusted_model(files, said.hardware_model, now_utc())
        signing.check_against_base(file, trusted)
    click.echo("You sign:")
    for line in said.lines():
        click.echo(f"  {line}")
    click.echo(f"  With the key      {name_of(key)}")
    if not yes:
        click.confirm("Is this what boxes may run?", abort=True, err=True)
    source = passphrases(passphrase_file, passphrase_env)
    signed = signing.sign(file, open_key(key, source), trusted)
    missing = MODEL_THRESHOLD - len(signed.signed_by)
    rest = f"{missing} more is needed." if missing > 0 else "It can be published."
    click.echo(f"Signed: {len(signed.signed_by)} of {MODEL_THRESHOLD}. {rest}")


def _notes(pairs: tuple[str, ...]) -> dict[str, str]:
    notes = {}
    for pair in pairs:
        language, equals, text = pair.partition("=")
        if not (language and equals and text):
            raise click.BadParameter(f"{pair!r} is not LANG=TEXT, such as en='Fixes the tuner'.")
        notes[language] = text
    return notes
