"""``oleada release publish|withdraw|list|trust``: the part that talks to a server.

Importing this adds the commands to the signer's group, which has build and sign.
"""

import io
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
from oleada_store import bundle
from oleada_store.cli import release_group
from oleada_store.options import THERE, NamedPath

from oleada_server.client import Client, NoServerError, connect, path_of

__all__ = ["release_group"]

PATH = "/api/v1/releases"
DIRECTORY = NamedPath(path_type=Path, exists=True, file_okay=False)


@release_group.command("publish")
@click.argument("file", type=THERE)
@click.option("--url", help="The server's address; else OLEADA_URL.")
@click.option("--token", help="An API token; better in OLEADA_TOKEN, where nobody sees it.")
def publish(file: Path, url: str | None, token: str | None) -> None:
    """Send the signed bundle FILE to the server."""
    client = _client(url, token)
    with file.open("rb") as opened:
        head = _head(opened)
        judged = client.upload(f"{PATH}/check", io.BytesIO(head), len(head), bundle.CONTENT_TYPE)
        if judged["published_already"]:
            click.echo(f"{judged['target_path']} is published already.")
            return
        opened.seek(0)
        try:
            found = client.upload(PATH, opened, file.stat().st_size, bundle.CONTENT_TYPE)
        except NoServerError as error:
            raise NoServerError(
                f"The line was cut while {file} was sent; send it again, which is safe. {error}"
            ) from error
    click.echo(f"Published {found['target_path']}, {found['size_bytes']} bytes.")


@release_group.command("withdraw")
@click.argument("model")
@click.argument("version")
@click.option("--reason", required=True, help="Kept, and shown to everybody who asks why.")
@click.option("--url", help="The server's address; else OLEADA_URL.")
@click.option("--token", help="An API token; better in OLEADA_TOKEN, where nobody sees it.")
def withdraw(*, model: str, version: str, reason: str, url: str | None, token: str | None) -> None:
    """Withdraw VERSION of MODEL: its rollouts stop, no box installs it, it never comes back."""
    found = _client(url, token).post(PATH + path_of(model, version, "withdraw"), {"reason": reason})
    click.echo(f"Withdrawn {found['target_path']}: {found['withdrawn_reason']}")


@release_group.command("list")
@click.option("--model", help="Only this hardware model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON as the API answers.")
@click.option("--url", help="The server's address; else OLEADA_URL.")
@click.option("--token", help="An API token; better in OLEADA_TOKEN, where nobody sees it.")
def list_(*, model: str | None, as_json: bool, url: str | None, token: str | None) -> None:
    """List releases, newest first."""
    found = _client(url, token).get(PATH, {"hardware_model": model})
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for release in found["releases"]:
        click.echo(_line(release))
    if not found["releases"]:
        click.echo("No release is published yet.")


@release_group.command("trust")
@click.argument("directory", type=DIRECTORY)
def trust(directory: Path) -> None:
    """Install what the key ceremony made, from its 'tuf' DIRECTORY, on the server's machine."""
    # imported here: a signer's machine has no server packages
    from oleada_store.trust_files import read_directory  # noqa: PLC0415

    from oleada_server.app import create_app  # noqa: PLC0415
    from oleada_server.clock import now_utc  # noqa: PLC0415
    from oleada_server.releases import service  # noqa: PLC0415

    with create_app(features=()).app_context():
        added = service.install_trust(read_directory(directory), "system:cli", now_utc())
    click.echo(f"Installed {', '.join(added)}." if added else "Nothing new.")


@release_group.command("owner")
@click.argument("key_id", required=False)
@click.argument("name", required=False, default="")
def owner(key_id: str | None, name: str) -> None:
    """Say whose key KEY_ID is, on the server's machine; without KEY_ID list them.

    In the console two persons do this; here one does, and the audit trail says so. An
    empty NAME takes the owner away.
    """
    # imported here: a signer's machine has no server packages
    from oleada_server.app import create_app  # noqa: PLC0415
    from oleada_server.clock import now_utc  # noqa: PLC0415
    from oleada_server.releases import owners  # noqa: PLC0415

    with create_app(features=()).app_context():
        if key_id is not None:
            owners.set_owner(key_id, name, actor="system:cli", now=now_utc())
        for key in owners.list_keys():
            click.echo(f"{key.key_id}  {key.owner or '-':<20} {', '.join(key.models)}")


def _client(url: str | None, token: str | None) -> Client:
    given = {"OLEADA_URL": url, "OLEADA_TOKEN": token}
    return connect({**os.environ, **{name: value for name, value in given.items() if value}})


def _head(file: BinaryIO) -> bytes:
    """Return *file* up to its image, which is what the server judges first."""
    bundle.Reader(file).head()
    size = file.tell()
    file.seek(0)
    return file.read(size)


def _line(release: dict[str, Any]) -> str:
    published = datetime.fromisoformat(release["published_at"])
    return (
        f"{release['hardware_model']:<12} {release['version']:<12} {release['state']:<10} "
        f"security {release['security_version']:<4} {release['size_bytes']:>12} bytes  "
        f"{published:%Y-%m-%d %H:%M}Z  {release['sha256'][:16]}"
    )
