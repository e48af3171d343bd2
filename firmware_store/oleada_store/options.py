"""Options that the commands of the signer's machine share, and how they fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from oleada_wire.errors import WireError

from oleada_store import key_places, token_uri, trust_files
from oleada_store.errors import StoreError
from oleada_store.keys import PassphraseSource

F = TypeVar("F", bound=Callable[..., Any])


class NamedPath(click.Path):
    """A path with a name; an empty text, as of a variable that is not set, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, or fail with a sentence."""
        if value == "":
            self.fail("No name is given, only an empty text.", param, ctx)
        return super().convert(value, param, ctx)


class KeyName(NamedPath):
    """The file of an offline key, or the URI of one in a security token."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self.name = "file|uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the place of the key, or fail with a sentence."""
        if isinstance(value, str) and not value.startswith(token_uri.SCHEME):
            return super().convert(value, param, ctx)
        try:
            return key_places.parse(value)
        except StoreError as error:
            self.fail(str(error), param, ctx)


FILE = NamedPath(path_type=Path, dir_okay=False)
FOLDER = NamedPath(path_type=Path, file_okay=False)
KEY = KeyName()
THERE = NamedPath(path_type=Path, dir_okay=False, exists=True)
"""A file that is there."""


class StoreGroup(click.Group):
    """A group whose commands end with a sentence, not a traceback, when input is bad."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of the store becomes a message and exit code 1."""
        try:
            return super().invoke(ctx)
        except (StoreError, WireError) as error:
            _fail(error)


def passphrase_options(command: F) -> F:
    """Add ``--passphrase-file`` and ``--passphrase-env`` to *command*."""
    command = click.option(
        "--passphrase-env",
        metavar="NAME",
        help="Environment variable that holds the passphrase.",
    )(command)
    return click.option(
        "--passphrase-file",
        type=FILE,
        help="File whose first line is the passphrase; without it you are asked.",
    )(command)


def passphrases(file: Path | None, variable: str | None, *, new: bool = False) -> PassphraseSource:
    """Return where passphrases come from; a *new* one is asked for twice."""
    if file is not None and variable is not None:
        raise click.UsageError("Give --passphrase-file or --passphrase-env, not both.")

    def ask(name: str) -> str:
        return str(
            click.prompt(
                f"Passphrase of {name}", hide_input=True, confirmation_prompt=new, err=True
            )
        )

    def ask_pin(uri: str) -> str:
        return str(click.prompt(f"PIN of the token with {uri}", hide_input=True, err=True))

    return PassphraseSource(ask, file, variable, ask_pin)


def read_base(base: str, root: Path | None, hardware_model: str) -> trust_files.TrustFiles:
    """Return the published files at *base*, a directory or the address of a server.

    Raises:
        StoreError: they can not be read, or not be trusted.
    """
    if not base.startswith(("http://", "https://")):
        files = trust_files.read_directory(Path(base))
        if root is None:
            return files
        return trust_files.from_root(files, root.read_bytes())
    if root is None:
        raise click.UsageError(
            "--root is needed with an address: the 1.root.json of the ceremony, so that a "
            "stranger's server is not believed."
        )
    return trust_files.fetch(base, root.read_bytes(), hardware_model)


def base_options(*, required: bool) -> Callable[[F], F]:
    """Return a decorator that adds ``--base`` and ``--root`` to a command."""

    def decorate(command: F) -> F:
        command = click.option(
            "--root",
            type=THERE,
            help="The 1.root.json of the ceremony; needed when --base is an address.",
        )(command)
        return click.option(
            "--base",
            required=required,
            metavar="DIR|URL",
            help="What is published now: a 'tuf' directory, or the server's address.",
        )(command)

    return decorate


def _fail(error: Exception) -> NoReturn:
    raise click.ClickException(str(error)) from error
