"""`throughline`: start processes, look at journeys and work, check what is configured."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from apis.console.contract_commands import contracts
from apis.console.version_commands import versions
from apis.runtime import log
from apis.runtime.clock import simulated_clock_url
from apis.runtime.pids import free_number, may_listen, pid_file
from apis.runtime.settings import Settings
from contracts.errors import ThroughlineError

WORKER = "worker"
PORT = click.IntRange(1, 65_535)
DAY = click.DateTime(["%Y-%m-%d"])
ASKS = "Which client of gateway.yaml asks, by its secret (demo)."
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class NotPossible(click.ClickException):
    """A command that cannot be carried out as it was given, or in this environment."""

    exit_code = 2


class Commands(click.Group):
    """Commands that say in a sentence why they cannot begin; a traceback is for defects."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command named."""
        try:
            return super().invoke(ctx)
        except ThroughlineError as error:
            if type(error) is ThroughlineError:
                raise
            remedy = f": {error.remedy}" if error.remedy else ""
            raise NotPossible((error.detail or error.code) + remedy) from error


def settings() -> Settings:
    """The settings of this process, from its environment."""
    return Settings.from_env(os.environ)


def run(part: str, parts: tuple[str, ...], *, port: int | None, worker: bool, edge: bool) -> None:
    """Be one process until it is told to stop."""
    import uvloop  # noqa: PLC0415 - a server's need, not a command's

    from apis.runtime.serving import serve  # noqa: PLC0415 - as above

    log.setup(os.environ.get("THROUGHLINE_LOG") or "INFO")
    known = settings()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(known, part, parts, port=port, worker=worker, edge=edge))


@click.group(cls=Commands)
def main() -> None:
    """Quote-to-cash for professional services: gateway, tiers and workers."""
    os.umask(0o077)  # what we write holds personal data and keys: it is ours alone


main.add_command(contracts)
main.add_command(versions)


@main.command()
@click.option("--port", type=PORT, help="Where the gateway listens (PORT, 8080).")
def up(port: int | None) -> None:
    """Gateway, tiers and worker in one process."""
    run("up", ("all",), port=port or settings().port, worker=True, edge=True)


@main.command()
@click.argument("part")
@click.option("--port", type=PORT, help="Where it listens.")
@click.option("--worker", is_flag=True, help="Run flows in this process too.")
def serve(part: str, port: int | None, *, worker: bool) -> None:
    """One part of a deployment: `gateway`, a tier (`process`) or one api (`system/salesforce`)."""
    if part == "gateway":
        run("gateway", (), port=port or settings().port, worker=False, edge=True)
        return
    if port is None:
        raise click.UsageError("a tier needs --port")
    run(part.replace("/", "-"), (part,), port=port, worker=worker, edge=False)


@main.command()
@click.option("--name", help="Which worker this is: worker-<name>.pid (the first free number).")
def worker(name: str | None) -> None:
    """Flows, feeds, relays and leaderships, without a port."""
    part = f"{WORKER}-{name or free_number(settings().home, WORKER)}"
    run(part, (), port=None, worker=True, edge=False)


@main.command()
@click.argument("vendor")
@click.option("--port", type=PORT, required=True, help="Where the sandbox listens.")
@click.option("--tls", is_flag=True, help="Serve https with a throw-away authority.")
def sandbox(vendor: str, port: int, *, tls: bool) -> None:
    """A vendor's sandbox: its wire format, its quirks, faults on request."""
    from apis.runtime.sandbox import known  # noqa: PLC0415 - only this command needs it
    from apis.runtime.sandbox import run as run_sandbox  # noqa: PLC0415 - as above

    home = settings().home
    known(vendor)
    may_listen(port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the server passes it on when it is done
    with pid_file(home, f"sandbox-{vendor}", port):
        run_sandbox(vendor, port, home, tls=tls, clock_url=simulated_clock_url(dict(os.environ)))


@main.command()
@click.option("--production", is_flag=True, help="Also say what would be unsafe in production.")
def check(*, production: bool) -> None:
    """Whether gateway.yaml, entities.yaml and the published contracts fit together."""
    from apis.console.starting import checked  # noqa: PLC0415 - only this command needs it

    found = checked(os.environ, production=production)
    for finding in found:
        click.echo(finding, err=True)
    click.echo("nothing is wrong" if not found else f"{len(found)} found")
    sys.exit(1 if found else 0)


@main.command()
@click.argument("id")
@click.option("--client", help=ASKS)
def journey(id: str, client: str | None) -> None:  # noqa: A002 - what people call it
    """Where a run is: its steps, owners, times and vendor calls. ID is a run's or any system's."""
    from apis.console.journeys import show_journey  # noqa: PLC0415 - only this command needs it

    sys.exit(show_journey(settings(), client, id))


@main.command()
@click.argument("request_id")
@click.option("--client", help=ASKS)
def explain(request_id: str, client: str | None) -> None:
    """Which rule allowed, refused or limited a call, where it stands and what would change it."""
    from apis.console.policies import show_explanation  # noqa: PLC0415 - only this command needs it

    sys.exit(show_explanation(settings(), client, request_id))


@main.command()
@click.option("--client", help=ASKS)
@click.option("--owner", help="Only work items of this role.")
def work(client: str | None, owner: str | None) -> None:
    """What waits for people: what is wrong, where, how much it blocks, who acts and how."""
    from apis.console.journeys import show_work  # noqa: PLC0415 - only this command needs it

    sys.exit(show_work(settings(), client, owner))


@main.command()
@click.option("--since", required=True, type=DAY, help="The first day on which they were won.")
@click.option("--system", default="salesforce", help="The CRM they were won in.")
@click.option("--entity", help="Only deals that this legal entity sold.")
@click.option("--dry-run", is_flag=True, help="Show what would be started; start nothing.")
@click.option("--client", help=ASKS)
def backfill(since: datetime, client: str | None, *, dry_run: bool, **wanted: str | None) -> None:
    """Start deals that were won before their feed began, and watch what becomes of them."""
    from apis.console.backfills import run_backfill  # noqa: PLC0415 - only this command needs it

    asked = {name: value for name, value in wanted.items() if value}
    asked["won_since"] = since.date().isoformat()
    sys.exit(run_backfill(settings(), client, asked, dry_run=dry_run))


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def backup(folder: Path) -> None:
    """The database with the engine's tables, keys and signed heads, into a new FOLDER."""
    from apis.console import backups  # noqa: PLC0415 - only this command needs it

    for line in backups.backup(settings(), folder):
        click.echo(line)


@main.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--mark", is_flag=True, help="The database was put back by other means.")
@click.option("--reconciled", is_flag=True, help="All that vendors have is known again.")
def restore(folder: Path | None, *, mark: bool, reconciled: bool) -> None:
    """Put a backup in the place of what is there; nothing may run meanwhile."""
    from apis.console import backups  # noqa: PLC0415 - only this command needs it

    if [folder is not None, mark, reconciled].count(True) != 1:
        raise click.UsageError("name the folder of a backup, or say --mark or --reconciled")
    if folder is not None:
        done = backups.restore(settings(), folder)
    else:
        done = [backups.restored_elsewhere(settings()) if mark else backups.reconciled(settings())]
    for line in done:
        click.echo(line)


@main.group()
def gateway() -> None:
    """The policy of the gateway."""


@gateway.command()
@click.argument("file", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def plan(file: Path, *, as_json: bool) -> None:
    """Whom another gateway.yaml would have affected: asks the calls recorded in the database."""
    from apis.console.policies import show_plan  # noqa: PLC0415 - only this command needs it

    sys.exit(show_plan(settings(), file, as_json=as_json))


@main.group()
def keys() -> None:
    """The keys that sign access tokens."""


@keys.command()
def rotate() -> None:
    """Make the key that signs from now on; what the last one signed stays good until it ends."""
    from apis.console.access import rotate_keys  # noqa: PLC0415 - only this command needs it

    click.echo(rotate_keys(settings()))


@main.group()
def api_keys() -> None:
    """Keys for tools that cannot do OAuth."""


@api_keys.command("make")
@click.option("--client", required=True, help="Whose it is, in gateway.yaml.")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it opens.")
@click.option("--days", type=click.IntRange(1, 366), default=90, help="How long it lives.")
def make_api_key(client: str, scopes: tuple[str, ...], days: int) -> None:
    """A new key, shown once; sent as Bearer, X-API-Key, or Basic with the client's name."""
    from apis.console.access import make_key  # noqa: PLC0415 - only this command needs it

    click.echo(make_key(settings(), client, scopes, days))


@api_keys.command("list")
def list_api_keys() -> None:
    """Every key: whose, for what, until when, last used when."""
    from apis.console.access import list_keys  # noqa: PLC0415 - only this command needs it

    for line in list_keys(settings()):
        click.echo(line)


@api_keys.command("revoke")
@click.argument("key_id")
def revoke_api_key(key_id: str) -> None:
    """End a key, on every gateway within a second."""
    from apis.console.access import revoke_key  # noqa: PLC0415 - only this command needs it

    click.echo(revoke_key(settings(), key_id))


@main.command("sign-in")
@click.option("--client", default="demo-portal", help="Which client acts for the person.")
def sign_in(client: str) -> None:
    """Sign in with a browser: a token of a person, and a call that uses it."""
    from apis.console import signing_in  # noqa: PLC0415 - only this command needs it

    sys.exit(signing_in.sign_in(settings(), client))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def clients(*, as_json: bool) -> None:
    """Every client: plan, scopes, and when each of its secrets and keys was last used."""
    from apis.console.clients import show_clients  # noqa: PLC0415 - only this command needs it

    sys.exit(show_clients(settings(), as_json=as_json))


@main.command()
def password() -> None:
    """The hash of a password, for `people` in gateway.yaml; it is asked for."""
    from apis.console.access import password_hash  # noqa: PLC0415 - only this command needs it

    asked = click.prompt("Password", hide_input=True, confirmation_prompt=sys.stdin.isatty())
    click.echo(password_hash(asked))


@main.group()
def audit() -> None:
    """The record of who did what to which record."""


@audit.command()
@click.option("--export", "file", type=FILE, help="Look at an exported file alone, no database.")
@click.option("--key", help="The fingerprint that the key of the export must have.")
@click.option("--tell", is_flag=True, help="Tell /metrics what was found, for its alerts.")
def verify(file: Path | None, key: str | None, *, tell: bool) -> None:
    """Whether every tier's audit is whole and ours: rows, marks, chain, and signed heads."""
    from apis.console import audit_reading, auditing  # noqa: PLC0415 - only this command needs it

    if key is not None and file is None:
        raise click.UsageError("--key is that of an export: name the file with --export")
    if file and tell:
        raise click.UsageError("--tell is about the database, --export about a file")
    told, wrong = audit_reading.checked(file, key) if file else auditing.verified(settings())
    if tell:
        auditing.tell(settings(), "audit", len(wrong))
    for line in told:
        click.echo(line)
    for finding in wrong:
        row = "" if finding.position is None else f", row {finding.position}"
        click.echo(f"{finding.tier}{row}: {finding.code}: {finding.detail}", err=True)
    click.echo("nothing is wrong" if not wrong else f"{len(wrong)} found")
    sys.exit(1 if wrong else 0)


@audit.command()
@click.option("--from", "since", type=DAY, required=True, help="The first day, in UTC.")
@click.option("--to", "until", type=DAY, required=True, help="The last day, in UTC.")
@click.option("--tier", type=click.Choice(("gateway", "system", "process", "experience")))
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Else the terminal.")
def export(since: datetime, until: datetime, tier: str | None, out: Path | None) -> None:
    """The rows of a period, one a line, with what proves them to somebody else."""
    from apis.console.audit_export import exported  # noqa: PLC0415 - only this command needs it

    if until < since:
        raise click.BadParameter(f"{until:%F} is before {since:%F}", param_hint="--to")
    for line in exported(settings(), since.date(), until.date(), tier, out):
        click.echo(line, err=True)


@main.command()
def demo() -> None:
    """Win a deal in a sandbox and watch it become a contract (PORT, SANDBOX_PORT, ONCE, DEAL)."""
    from apis.console.demo import run_demo  # noqa: PLC0415 - only this command needs it

    sys.exit(run_demo(dict(os.environ)))


if __name__ == "__main__":
    main()
