"""``oleada user``: people, their one-time links and API tokens, on the server's machine.

Works on the database of the data directory; nobody has to be signed in, because who can
read the server's keys can do all of this anyway, and no second factor is asked for. The
audit trail names the system user.
"""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager

import click

from oleada_server.accounts import factors, service, tokens
from oleada_server.accounts.models import Role
from oleada_server.accounts.rights import SCOPES
from oleada_server.app import create_app
from oleada_server.clock import now_utc
from oleada_server.config import current
from oleada_server.errors import ServerError


@click.group("user")
def user_group() -> None:
    """People: add, link, token, list, disable, enable, reset second factors."""


@user_group.command("add")
@click.argument("name")
@click.option("--full-name", default="", help="As pages show it.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="viewer",
    help="What they may do.",
)
@click.option(
    "--language",
    type=click.Choice(service.LANGUAGES),
    default="en",
    help="Of the pages that they see.",
)
@click.option("--zone", default="UTC", help="IANA name, such as Europe/Prague.")
def add(name: str, full_name: str, role: str, language: str, zone: str) -> None:
    """Add user NAME and print a one-time sign-in link."""
    with _desk():
        service.add_user(
            name,
            full_name=full_name,
            role=Role(role),
            language=language,
            zone=zone,
            actor=_actor(),
            now=now_utc(),
        )
        _print_link(name)


@user_group.command("link")
@click.argument("name")
def link(name: str) -> None:
    """Print a new one-time sign-in link of user NAME; it lives 24 hours."""
    with _desk():
        _print_link(name)


@user_group.command("token")
@click.argument("name")
@click.option("--label", default="cli", help="What the token is for.")
@click.option("--scope", "scopes", multiple=True, help=f"One or more of: {', '.join(SCOPES)}.")
@click.option("--days", default=tokens.TOKEN_DAYS, help="How long it lives.")
def token(name: str, label: str, scopes: tuple[str, ...], days: int) -> None:
    """Print a new API token of user NAME; it is shown this once."""
    with _desk():
        print(tokens.create_token(name, label, scopes, actor=_actor(), now=now_utc(), days=days))


@user_group.command("tokens")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_tokens(name: str, as_json: bool) -> None:
    """List the API tokens of user NAME that were not revoked; REF is what `revoke` takes."""
    with _desk():
        rows = [
            {
                "ref": tokens.ref_of(one),
                "begins": one.hint,
                "label": one.name,
                "scopes": one.scopes,
                "expires_at": one.expires_at.isoformat(),
                "last_used_at": one.last_used_at and one.last_used_at.isoformat(),
            }
            for one in tokens.list_tokens(name)
            if one.revoked_at is None
        ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        used = row["last_used_at"] or "never"
        print(f"{row['ref']}  {row['begins'] or '-':<9} {row['label']:<20} used {used}")


@user_group.command("revoke")
@click.argument("name")
@click.option("--label", help="The label the tokens were made with.")
@click.option("--ref", help="Of one token, as `oleada user tokens` lists it.")
def revoke(name: str, label: str | None, ref: str | None) -> None:
    """Revoke the API tokens of user NAME that carry LABEL, or the one called REF."""
    if (label is None) == (ref is None):
        raise click.UsageError("Say either --label or --ref.")
    with _desk():
        if ref is not None:
            count = int(tokens.revoke_token(name, ref, actor=_actor(), now=now_utc()))
        else:
            count = tokens.revoke_tokens(name, label or "", actor=_actor(), now=now_utc())
        print(f"{count} revoked")


@user_group.command("reset-factors")
@click.argument("name")
def reset_factors(name: str) -> None:
    """Take every second factor of user NAME, who has lost theirs; they enrol anew."""
    with _desk():
        count = factors.reset(name, actor=_actor(), now=now_utc())
        print(f"{count} reset")


@user_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_(as_json: bool) -> None:
    """List every user."""
    with _desk():
        rows = [
            {
                "name": user.name,
                "full_name": user.full_name,
                "role": str(user.role),
                "disabled": user.disabled_at is not None,
            }
            for user in service.list_users()
        ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        state = "  disabled" if row["disabled"] else ""
        print(f"{row['name']:<24} {row['role']:<10} {row['full_name']}{state}")


@user_group.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Shut user NAME out: sessions, links and tokens end at once."""
    with _desk():
        service.disable_user(name, actor=_actor(), now=now_utc())


@user_group.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let user NAME in again who was shut out, as a viewer, and print a one-time link."""
    with _desk():
        service.let_in_again(name, actor=_actor(), now=now_utc())
        _print_link(name)


@contextmanager
def _desk() -> Iterator[None]:
    with create_app(features=()).app_context():
        try:
            yield
        except ServerError as error:
            raise click.ClickException(str(error)) from error


def _print_link(name: str) -> None:
    secret = service.create_link(name, actor=_actor(), now=now_utc())
    print(f"{current().console_url}/sign-in/link/{secret}")


def _actor() -> str:
    return f"system:{getpass.getuser()}"
