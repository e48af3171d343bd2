"""``oleada``: one command for the operator, the signer and the server's processes.

Groups are imported when they are asked for, so that the signer's machine needs only
the ``[sign]`` extra. An error of ours is one sentence on standard error and exit 1.
"""

import errno
import gc
from importlib import import_module
from typing import Any, Final

import click
from oleada_store.errors import StoreError
from oleada_wire.errors import WireError

from oleada_server.errors import ServerError

COMMANDS: Final = {
    "asked": (
        "oleada_server.accounts.cli_asked:asked_group",
        "What waits for a second person: list, confirm, decline.",
    ),
    "audit": ("oleada_server.audit.cli:audit_group", "The audit trail: verify it, export heads."),
    "backup": ("oleada_server.backup.cli:backup", "Write everything into one file."),
    "db": ("oleada_server.cli_run:db_group", "The database: upgrade, show its revision."),
    "device": (
        "oleada_server.actions.cli:device_group",
        "Devices: list, show, claim, act, revoke.",
    ),
    "doctor": ("oleada_server.system.cli:doctor", "Say what of this server needs a person."),
    "door": ("oleada_server.cli_run:door", "Run the device door (HTTPS)."),
    "group": ("oleada_server.rollouts.cli_groups:group_group", "Groups of boxes to choose by."),
    "init": ("oleada_server.cli_run:init", "Make keys, certificates, database, broker set-up."),
    "keys": ("oleada_store.cli:keys_group", "The signer's keys: the ceremony, new models."),
    "release": (
        "oleada_server.releases.cli:release_group",
        "Releases: build, sign, publish.",
    ),
    "restore": ("oleada_server.backup.cli:restore", "Fill an empty server from a backup."),
    "rollout": ("oleada_server.rollouts.cli:rollout_group", "Rollouts: plan, start, watch, stop."),
    "scheduler": ("oleada_server.cli_run:scheduler", "Run the scheduler."),
    "up": ("oleada_server.cli_run:up", "Run everything: broker, web, door, worker, scheduler."),
    "user": ("oleada_server.accounts.cli:user_group", "Users: add, sign-in link, API token."),
    "web": ("oleada_server.cli_run:web", "Run console and REST."),
    "worker": ("oleada_server.cli_run:worker", "Run one worker: inbox and outbox."),
}
"""Name: where it is, and the sentence that ``oleada --help`` says of it."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for, and turns our errors into exit 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, in the order of the alphabet."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command *cmd_name*, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        gc.disable()  # imports leave no garbage, and looking for it is a sixth of a start
        try:
            found: click.Command = getattr(import_module(module), name)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"'oleada {cmd_name}' needs the Python package {error.name!r}; install "
                "oleada[server], or oleada[sign] on a signer's machine."
            ) from error
        finally:
            gc.enable()
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; bytes that are no UTF-8 could be neither stored nor shown."""
        for given in args:
            try:
                given.encode()
            except UnicodeEncodeError:
                ctx.fail(f"{given[:80]!r} holds bytes that are not UTF-8; write plain text.")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours is its sentence, not a traceback."""
        try:
            return super().invoke(ctx)
        except (click.UsageError, click.exceptions.Exit):  # quoted by click; after --help
            raise
        except click.ClickException as error:
            raise click.ClickException(_shown(error.message)) from error
        except (ServerError, StoreError, WireError) as error:
            raise click.ClickException(_shown(str(error))) from error
        except Exception as error:
            if (sentence := _of_the_machine(error)) is None:
                raise
            raise click.ClickException(_shown(sentence)) from error


def _shown(text: str) -> str:
    """Return *text* without what would steer the terminal: a message repeats what was typed."""
    return "".join(one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)


def _of_the_machine(error: Exception) -> str | None:
    """Return what disk or database has refused, as a sentence; None for an error of ours."""
    if isinstance(error, OSError):
        if error.filename is None:  # of a write, which names no file
            if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}:
                return None
            return (
                f"A disk refused to write: {error.strerror}. Make room or choose another disk, "
                "then run the command again."
            )
        return (
            f"{error.filename}: {error.strerror}. Check the path, OLEADA_DATA_DIR above all, its "
            "owner and its rights."
        )
    try:
        from sqlalchemy.exc import OperationalError, ProgrammingError  # noqa: PLC0415 - see above
    except ModuleNotFoundError:  # a signer's machine
        return None
    if not isinstance(error, OperationalError | ProgrammingError):
        return None
    why = str(error.orig).strip().partition("\n")[0]
    return (
        f"The database can not be used: {why}. Check that it runs and what database_url says; "
        "`oleada init` makes one ready."
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Oleada: signed firmware for fleets of TV set-top boxes.

    The server's data directory is OLEADA_DATA_DIR (default var/oleada). Commands that
    ask a running server use OLEADA_URL and OLEADA_TOKEN, or on the server's own machine
    what `oleada init` left in the data directory.
    """
