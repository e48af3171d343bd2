"""``oleada backup`` and ``oleada restore``: everything of a server, out and in."""

from pathlib import Path

import click
from oleada_store.options import FILE, THERE, passphrase_options, passphrases

from oleada_server import clock
from oleada_server import config as settings
from oleada_server.app import create_app
from oleada_server.backup import archive, making, restoring
from oleada_server.backup.manifest import Manifest
from oleada_server.db import db
from oleada_server.restored import check_finished

NAME = "the backup"


@click.command()
@click.argument("file", type=FILE)
@click.option("--check", is_flag=True, help="Write nothing: read FILE and check every byte of it.")
@click.option("--encrypt", is_flag=True, help="Ask for a passphrase and encrypt under it.")
@passphrase_options
def backup(
    file: Path,
    check: bool,
    encrypt: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Write the whole server into FILE, whether it runs or not.

    Database, keys, certificates, settings and images, of one moment. FILE is readable by
    its owner only; it holds the server's online keys, so encrypt what leaves the machine.
    A passphrase that is given encrypts; without one, --encrypt asks for it.
    """
    is_new = not check
    secret = _secret(encrypt, passphrase_file, passphrase_env, new=is_new)
    if check:
        print(f"{file} is whole: {_summary(archive.check(file, secret))}.")
        return
    config = settings.load()
    check_finished(config.data_dir)
    app = create_app(config, ())
    try:
        manifest = making.make(app, file, secret, clock.now_utc())
    finally:
        with app.app_context():
            db.engine.dispose()
    print(f"{file} holds {_summary(manifest)}.")
    for sha256 in manifest.lost_blobs:
        click.echo(
            f"Warning: the image {sha256} is lost on this server, so it is not in the backup; "
            "publish its bundle again.",
            err=True,
        )


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--database-url", help="Restore into this empty database instead of the one in the backup."
)
@click.option(
    "--revocations", type=THERE,
    help="broker/revoked.json of the lost server, or its copy: who was revoked after the backup.",
)  # fmt: skip
@click.option("--encrypted", is_flag=True, help="Ask for the passphrase of FILE.")
@passphrase_options
def restore(
    file: Path,
    *,
    database_url: str | None,
    revocations: Path | None,
    encrypted: bool,
    passphrase_file: Path | None,
    passphrase_env: str | None,
) -> None:
    """Fill an empty data directory and an empty database from FILE.

    Every byte of FILE is checked before anything is written. If it is interrupted, run it
    again. Rollouts that ran are paused: what happened after the backup is not known here.
    """
    secret = _secret(encrypted, passphrase_file, passphrase_env, new=False)
    directory = settings.data_dir()
    manifest, found = restoring.restore(
        file, directory, secret, clock.now_utc(), database_url, revocations=revocations
    )
    print(f"{directory} is restored: {_summary(manifest)}.")
    print(f"{found.devices} boxes are known; each is asked again as it says hello.")
    for number in found.held_rollouts:
        print(f"R-{number} is paused; `oleada rollout resume R-{number}` or `stop` decides.")
    if found.revoked is None:
        print("No file says who was revoked after the backup; revoke those boxes again.")
    else:
        print(f"{found.revoked} boxes were revoked after the backup, and are so again.")
    print("Publish again what was published, and repeat what was withdrawn, after the backup.")
    print("`oleada up` starts the server.")


def _secret(wanted: bool, file: Path | None, variable: str | None, *, new: bool) -> bytes | None:
    if not (wanted or file or variable):
        return None
    return passphrases(file, variable, new=new).read(NAME)


def _summary(manifest: Manifest) -> str:
    size_mib = manifest.size_bytes / 2**20
    return (
        f"a backup of {manifest.made_at[:16].replace('T', ' ')} UTC by Oleada {manifest.version}, "
        f"schema {manifest.schema_revision}, {len(manifest.entries)} files, {size_mib:.1f} MiB, "
        f"{manifest.audit_entries} audit entries up to {manifest.audit_head[:12] or 'none'}"
    )
