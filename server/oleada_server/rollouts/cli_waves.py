"""``oleada rollout waves`` and ``authorise``: fetch what approvers sign, hand in what they did."""

from pathlib import Path

import click
from oleada_store import waves
from oleada_store.errors import StoreError
from oleada_store.options import FILE, THERE

from oleada_server.client import connect, path_of

PATH = "/api/v1/rollouts"


@click.command("waves")
@click.argument("rollout")
@click.option("-o", "--out", type=FILE, help="The file to write; R-7.waves.json by default.")
def fetch(rollout: str, out: Path | None) -> None:
    """Fetch the waves of ROLLOUT that wait for signatures, as a file to sign."""
    found = connect().get(PATH + path_of(rollout, "signatures"))
    try:
        request = waves.from_json(found)
        target = out or Path(f"{request.rollout}.waves.json")
        waves.write(target, request)
    except (StoreError, OSError) as error:
        raise click.ClickException(str(error)) from error
    numbers = ", ".join(str(one.position) for one in request.waves)
    click.echo(f"{target}: wave {numbers} of {request.rollout}, {request.threshold} must sign.")
    click.echo(f"Each approver, on their own machine: oleada rollout sign {target} --key KEY.pem")


@click.command("authorise")
@click.argument("file", type=THERE)
def authorise(file: Path) -> None:
    """Hand in the signatures in FILE; a wave that has enough of them may open."""
    try:
        request = waves.read(file)
    except StoreError as error:
        raise click.ClickException(str(error)) from error
    path = PATH + path_of(request.rollout, "signatures")
    found = connect().post(path, waves.to_json(request))
    for one in found["missing_signatures"]:
        click.echo(f"Wave {one['wave']} has {one['have']} of {one['needed']} signatures.")
    if not found["missing_signatures"]:
        click.echo(f"Every wave of {found['id']} is signed; it is {found['state']}.")
