"""`throughline versions ...`: the life of versions, and more time for who needs it."""

from __future__ import annotations

import sys
from datetime import datetime

import click

from apis.console.contract_commands import me, moment, settings_here

DAY = click.DateTime(["%Y-%m-%d"])
CLIENT = click.option("--client", help="Whom, as gateway.yaml or the portal names it.")
ALL = click.option("--all", "everybody", is_flag=True, help="Whoever calls it.")


@click.group()
def versions() -> None:
    """Versions of APIs: where each is in its life, and who is served beyond it."""


@versions.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_versions(*, as_json: bool) -> None:
    """Every version: status, since, sunset, brown-outs, extensions."""
    from apis.console.versions import show_versions  # noqa: PLC0415 - only this command needs it

    sys.exit(show_versions(settings_here(), as_json=as_json))


@versions.command()
@click.argument("target")
@CLIENT
@ALL
@click.option("--until", type=DAY, required=True, help="The last day, in UTC.")
@click.option("--reason", required=True, help="Why it is needed.")
def extend(
    target: str, client: str | None, until: datetime, reason: str, *, everybody: bool
) -> None:
    """Serve TARGET (`experience/delivery/v1`) beyond its sunset, on every gateway."""
    from apis.console.versions import Given, give_time  # noqa: PLC0415 - as above

    given = Given(until.date(), reason, me(), moment())
    click.echo(give_time(settings_here(), target, _whom(client, everybody=everybody), given))


@versions.command("end-extension")
@click.argument("target")
@CLIENT
@ALL
def end_extension(target: str, client: str | None, *, everybody: bool) -> None:
    """Take back what `extend` gave."""
    from apis.console.versions import end_time  # noqa: PLC0415 - as above

    click.echo(
        end_time(settings_here(), target, _whom(client, everybody=everybody), me(), moment())
    )


def _whom(client: str | None, *, everybody: bool) -> str | None:
    if (client is not None) == everybody:
        raise click.UsageError("name --client or say --all")
    return client
