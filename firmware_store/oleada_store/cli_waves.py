"""``oleada rollout sign``: an approver signs waves on a machine of their own."""

from pathlib import Path

import click

from oleada_store import trust_files, waves
from oleada_store.clock import now_utc
from oleada_store.key_places import KeyPlace, name_of, open_key
from oleada_store.keys import EnvelopeSigner
from oleada_store.options import (
    KEY,
    THERE,
    base_options,
    passphrase_options,
    passphrases,
    read_base,
)


@click.command("sign")
@click.argument("file", type=THERE)
@click.option("--key", required=True, type=KEY, help="Your offline key.")
@click.option(
    "--until-wave",
    type=click.IntRange(min=1),
    metavar="N",
    help="Sign no wave after N; the others wait. Without it you sign every wave in FILE.",
)
@click.option("--yes", is_flag=True, help="Do not ask; what is signed is printed all the same.")
@passphrase_options
@base_options(required=False)
def sign(
    file: Path,
    *,
    key: KeyPlace,
    until_wave: int | None,
    yes: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
    base: str | None,
    root: Path | None,
) -> None:
    """Say in words which waves FILE opens, then sign them with your key.

    Get FILE with `oleada rollout waves`, hand it in with `oleada rollout authorise`.
    """
    request = waves.read(file).until(until_wave)
    click.echo("You sign:")
    for one in request.waves:
        for line in waves.lines(one):
            click.echo(f"  {line}")
        if base is not None:
            model = one.wave.hardware_model
            files = read_base(base, root, model)
            trusted = trust_files.trusted_model(files, model, now_utc())
            info = waves.check_release(one, trusted)
            click.echo(
                f"    Signed as release {info.version} for {', '.join(info.hardware_models)}"
            )
    click.echo(f"  With the key {name_of(key)}")
    if not yes:
        click.confirm("May the release go to these boxes?", abort=True, err=True)
    source = passphrases(passphrase_file, passphrase_env)
    signer = EnvelopeSigner(open_key(key, source))
    signed = waves.sign(request, signer)
    waves.write(file, signed)
    have = min(len(one.signed_by) for one in signed.waves)
    rest = request.threshold - have
    after = f"{rest} more needed." if rest > 0 else f"Hand it in: oleada rollout authorise {file}"
    click.echo(f"Signed: {have} of {request.threshold}. {after}")
