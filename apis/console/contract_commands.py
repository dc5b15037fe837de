"""`throughline contracts ...`: what was promised to callers, and who would miss it."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from apis.runtime.settings import Settings

if TYPE_CHECKING:
    from apis.console.contract_consumers import Affected, Consumer
    from apis.console.contract_diffs import Compared

SHOWN = 12
"""Clients of a change that are named in a line."""

NOBODY = "unknown"


def me() -> str:
    """Who is signed in on this machine; a container may know nobody."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return NOBODY


def said(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """What was said; BadParameter where nothing was: who decided and why is kept."""
    if value.strip() in {"", NOBODY}:
        raise click.BadParameter("say it: it is kept with what is decided")
    return value.strip()


@click.group()
def contracts() -> None:
    """What was promised to callers: rules, changes, approvals, and who uses what."""
    if not Path("contracts/published").is_dir():
        raise click.UsageError("there is no contracts/published here: go where the project is")


@contracts.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def check(*, as_json: bool) -> None:
    """Whether all that is published is as generated, keeps the rules and breaks nobody."""
    from apis.console.contract_checks import checked  # noqa: PLC0415 - only this command needs it
    from apis.console.contract_diffs import compared  # noqa: PLC0415 - as above

    found, gate = checked(settings_here()), compared(moment().date())
    if as_json:
        _json({"findings": found, "refused": gate.refused, "stale": gate.stale})
    else:
        for each in found:
            where = f"{each.document}{each.pointer and '#'}{each.pointer}"
            click.echo(f"{where}: {each.rule}: {each.says}: {each.remedy}", err=True)
        _gate(gate, err=True)
    wrong = len(found) + len(gate.refused) + len(gate.stale)
    if not as_json:
        click.echo("nothing is wrong" if not wrong else f"{wrong} found")
    sys.exit(1 if wrong else 0)


@contracts.command()
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def diff(old: str | None, new: str | None, *, as_json: bool) -> None:
    """What changed: of two files, or of `<tier>/<api>/v<n>` (all, if none) since its release."""
    from apis.console.contract_diffs import compared, of_files  # noqa: PLC0415 - as above

    today = moment().date()
    if old and new:
        found = of_files(Path(old), Path(new), today)
    else:
        found = compared(today, *(each for each in (old,) if each))
    if as_json:
        approved = [each.fingerprint for each in found.changes if found.approved(each)]
        stale = [each.fingerprint for each in found.stale]
        told = {"changes": found.changes, "approved": approved, "stale": stale}
        _json(told | {"unreleased": found.unreleased})
    else:
        for change in found.changes:
            mark = " approved" if found.approved(change) else ""
            click.echo(f"{change.level:5} {change.fingerprint}{mark}  {change.rule}")
            click.echo(f"      {change.document}#{change.pointer}: {change.says}")
        _gate(found)
    sys.exit(1 if found.refused else 0)


@contracts.command()
@click.argument("fingerprint")
@click.option("--reason", required=True, callback=said, help="Why it may break callers anyway.")
@click.option("--by", default=me, callback=said, help="Who approves (who is signed in here).")
def approve(fingerprint: str, reason: str, by: str) -> None:
    """Let exactly one breaking change be; who used what it takes away is kept with it."""
    from apis.console import contract_consumers as users  # noqa: PLC0415 - as above
    from apis.console import contract_diffs as diffs  # noqa: PLC0415 - as above

    now = moment()
    change, old = diffs.breaking_change(now.date(), fingerprint)
    missed = None
    if not diffs.is_schema(change.document):
        missed = users.affected(settings_here(), change, old, now)
    diffs.approve(
        diffs.Approval(
            fingerprint=fingerprint,
            document=change.document,
            rule=change.rule,
            says=change.says,
            by=by,
            at=now,
            reason=reason,
            days=missed.days if missed else 0,
            consumers=missed and missed.consumers,
            used_by=missed.used_by if missed else [],
        )
    )
    click.echo(f"{fingerprint} is approved: {change.says}")
    click.echo(_missed(missed))


@contracts.command()
@click.argument("targets", nargs=-1)
def release(targets: tuple[str, ...]) -> None:
    """Keep documents as released, all if none is named; from then on they bind."""
    from apis.console import contract_diffs as diffs  # noqa: PLC0415 - as above

    for name in diffs.release(moment().date(), *targets):
        click.echo(name)


@contracts.command()
@click.option("--api", help="An API or a version of it: experience/delivery/v1.")
@click.option("--operation", help="An operation by its id.")
@click.option("--field", help="A field: query:state, body:/lines/*/hours, or its last part.")
@click.option("--days", type=click.IntRange(1), help="How far back, if not 90 or all kept.")
@click.option("--deprecated", is_flag=True, help="Only what is deprecated.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def consumers(days: int | None, *, deprecated: bool, as_json: bool, **wanted: str | None) -> None:
    """Which client used which operation and field of which version, last when."""
    from apis.console import contract_consumers as users  # noqa: PLC0415 - as above
    from apis.runtime.deployment import policy_of  # noqa: PLC0415 - as above

    days = days or users.looked_at(policy_of(settings_here()))
    found = users.consumers(settings_here(), users.Wanted(**wanted, days=days), moment())
    if not found and (api := wanted["api"]):
        users.known_api(settings_here(), api)
    if deprecated:
        found = users.of_deprecated(settings_here(), found)
    if as_json:
        _json(found)
        return
    _table(found)
    clients = len({each.client for each in found})
    click.echo(f"{clients} client{'s' * (clients != 1)} in {days} day{'s' * (days != 1)}")


@contracts.command("can-retire")
@click.argument("target")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def can_retire(target: str, *, as_json: bool) -> None:
    """Whether a version may go: nothing is built on it, and who used it in 90 days agreed."""
    from apis.console import contract_consumers as users  # noqa: PLC0415 - as above

    found = users.can_retire(settings_here(), target, moment())
    if as_json:
        _json(msgspec.structs.asdict(found) | {"may_go": found.may_go})
    else:
        _table(found.uses)
        for client in found.agreed:
            click.echo(f"{client} agreed")
        click.echo(f"looked at {found.days} days of {found.kept_days} that are kept")
        left = ", ".join(found.left)
        click.echo(f"{target} may go" if found.may_go else f"{target} must stay: {left}")
    sys.exit(0 if found.may_go else 1)


@contracts.command()
@click.argument("client")
@click.argument("target")
@click.option("--reason", required=True, callback=said, help="Where and when it was written.")
@click.option("--by", default=me, callback=said, help="Who records it (who is signed in here).")
def consent(client: str, target: str, reason: str, by: str) -> None:
    """Keep that a client agreed in writing that a version goes."""
    from apis.console import contract_consumers as users  # noqa: PLC0415 - as above

    told = users.Agreement(client, target, reason, by)
    click.echo(users.consent(settings_here(), told, moment()))


def settings_here() -> Settings:
    """The settings of this environment."""
    return Settings.from_env(os.environ)


def moment() -> datetime:
    """Now, by the clock of this environment."""
    from apis.console.auditing import present  # noqa: PLC0415 - as above

    return asyncio.run(present())


def _json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _gate(found: Compared, *, err: bool = False) -> None:
    for approval in found.stale:
        told = f"the approval {approval.fingerprint} of {approval.document} is stale"
        click.echo(f"{told}: {approval.says} is not there (any more)", err=err)
    for change in found.refused:
        told = f"{change.document}: {change.rule}: {change.says}"
        click.echo(f"refused {change.fingerprint}: {told}", err=err)
    if found.refused:
        remedy = "make it compatible, give the API its next version, or have it approved:"
        click.echo(f"{remedy} throughline contracts approve <fingerprint> --reason ...", err=err)
    for name in found.unreleased:
        click.echo(f"{name} was never released: nothing is promised of it yet", err=err)


def _missed(found: Affected | None) -> str:
    """Who would miss what goes, in a line or two."""
    if found is None:
        return "who reads it is not counted: ask those who do"
    clients = list(dict.fromkeys(each.client for each in found.consumers))
    more = f" and {len(clients) - SHOWN} more" if len(clients) > SHOWN else ""
    told = f"used by {', '.join(clients[:SHOWN])}{more}" if clients else "nobody used it"
    told = f"{told} in {found.days} day{'s' * (found.days != 1)}"
    if not found.days:
        told = "no gateway ever ran with this database: who used it is not known here"
    return told + (f"\nbuilt on it: {', '.join(found.used_by)}" if found.used_by else "")


def _table(found: list[Consumer]) -> None:
    from apis.console.terminal import console, table  # noqa: PLC0415 - as above

    if not found:
        return
    shown = table("Client", "Owner", "Contact", "Version", "Operation", "Field", "Calls", "Last on")
    for each in found:
        calls = "" if each.calls is None else str(each.calls)
        who = each.client, each.owner, each.contact
        what = each.target, each.operation, each.field or ""
        shown.add_row(*who, *what, calls, each.last_on.isoformat())
    console(plain_width=240).print(shown)
