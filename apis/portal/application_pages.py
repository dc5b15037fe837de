"""The pages of a person's applications: the list, a new one, one with all that it may and did."""

from __future__ import annotations

from secrets import token_hex

from sqlalchemy import Connection

from apis.gateway.guard import Refusal
from apis.gateway.policy import Client
from apis.gateway.registered import SANDBOX, Application, within
from apis.portal.access import Wish, of_client, waiting
from apis.portal.applications import DAY_S, Draft, Proofs, make, mine, named, one, proofs
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.credentials import credential_parts
from apis.portal.desk import (
    APPLICATIONS,
    CONFLICT,
    WRONG,
    Desk,
    Form,
    area,
    day,
    moment,
    shown,
    told,
    written,
)
from apis.portal.entries import trail
from apis.portal.first_call import first_call
from apis.portal.layout import Visitor
from apis.portal.markup import Child, Html, a, badge, button, card, e, facts, field, form, notice
from apis.portal.newcomers import called
from apis.portal.own_log import DAYS, Call, Use, first_good, use
from apis.portal.pages_of_one import no_such, secret_page
from apis.portal.use_parts import use_parts
from apis.portal.wishes import wish_parts
from apis.portal.words import NOT_TOLD, plan_words, rows_words, scope_told

NEW = f"{APPLICATIONS}/new"
MOST_TITLE = 80
AGAIN = (
    "This form was sent before, and the secret was shown then. If nobody kept it, make another"
    " on the application's page."
)
ENOUGH = (
    "You have as many applications as one person may have here. Delete one that you do not need."
)


class Everything:
    """All that one application's page tells, read at once."""

    def __init__(self, connection: Connection, application: Application, now: float) -> None:
        self.application = application
        self.proofs: Proofs = proofs(connection, application, now)
        self.wishes: list[Wish] = of_client(connection, application.id)
        self.use: Use = use(connection, application.id, now)
        since = max(application.made_at, now - DAYS * DAY_S)
        self.answered: Call | None = first_good(connection, application.id, since)


class ApplicationPages:
    """Lists, makes and shows applications."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> Routes:
        """Its pages."""
        sees, takes = self._desk.sees, self._desk.takes
        return {
            ("GET", APPLICATIONS): sees(self.all),
            ("GET", NEW): sees(self.new),
            ("POST", NEW): takes(self.made),
            ("GET", f"{APPLICATIONS}/{{}}"): sees(self.one),
        }

    async def all(self, asked: Asked) -> Reply:
        """What this person has, and what they may do next."""
        name, desk = asked.who.name or "", self._desk
        found, who = await desk.store.read(_all_of, name)
        cards = e("ul", [e("li", _card(desk, each)) for each in found], class_="cards")
        none = e("p", "You have none yet. One takes a minute: it can call at once.", class_="lead")
        first = a(NEW, "New application", class_="button")
        more: list[Child] = [first, a("/portal/requests", "My calls", class_="button plain")]
        if desk.approves(name):
            open_now = sum(each.state == "open" for each in await desk.store.read(waiting))
            words = f"Decide on {open_now} request{'s' * (open_now != 1)}"
            more.append(a("/portal/approvals", words, class_="button plain"))
        greeting = e("p", f"Hello {who}. You sign in as ", e("code", name), ".", class_="lead")
        return shown(
            asked,
            "My applications",
            greeting,
            cards if found else none,
            e("p", more, class_="acts"),
        )

    async def new(self, asked: Asked) -> Reply:
        """Ask what it is for."""
        return self._form(asked, {}, {})

    def _form(self, asked: Asked, given: Form, wrong: dict[str, str]) -> Reply:
        sandbox = self._desk.portal.sandbox
        return shown(
            asked, "New application",
            e("p", f"It can call in the sandbox at once, for {sandbox.days} days.", class_="lead"),
            form(
                asked.token,
                e("input", type="hidden", name="form", value=given.get("form") or token_hex(16)),
                field("title", "Name", given.get("title", ""), error=wrong.get("title", ""),
                      hint="What people see: your product, or your team.", maxlength=MOST_TITLE,
                      required=True),
                area("purpose", "What for", given.get("purpose", ""),
                     error=wrong.get("purpose", ""), hint="A sentence is enough."),
                button("Make it"),
            ),
            back=trail((APPLICATIONS, "My applications")),
            status=WRONG if any(wrong.values()) else 200,
        )  # fmt: skip

    async def made(self, asked: Asked, given: Form) -> Reply:
        """Make it, and show its secret: the only time."""
        title, bad = written(given, "title", MOST_TITLE)
        purpose, vague = written(given, "purpose", lines=True)
        if bad or vague:
            return self._form(asked, given, {"title": bad, "purpose": vague})
        desk = self._desk
        by = desk.by(asked)
        draft = Draft(named(by.person, given.get("form", "")), title, purpose)
        made = await desk.store.write(make, desk.portal, draft, by)
        if made is None:
            if await desk.store.read(one, draft.id, by.person):
                return told(asked, CONFLICT, f"{title} is made already", AGAIN)
            return told(asked, CONFLICT, "Too many applications", ENOUGH)
        sandbox = desk.portal.sandbox
        client = Client(plan=sandbox.plan, scopes=sandbox.scopes)
        return secret_page(desk, asked, made, client, title=f"{title} is ready")

    async def one(self, asked: Asked) -> Reply | Refusal | None:
        """All that one may and did."""
        desk, now = self._desk, self._desk.now
        await desk.edge.decisions.close()  # what was called just now belongs to it
        found = await desk.store.read(_everything, asked.parts[0], asked.who.name or "", now)
        if found is None:
            return no_such(asked)
        application = found.application
        client = within(application, desk.policy.gateway, desk.portal)
        parts: list[Child] = [_state(application, now)]
        if client is None or not application.live(now):
            parts.append(
                notice("warn", e("p", "It cannot call any more: ", _why(application, now)))
            )
        else:
            parts += [_first(desk, asked.who, found, client), _may(desk, client)]
            parts += credential_parts(asked.token, application.id, client, found.proofs)
            parts += await use_parts(desk, asked.who, application.id, client, found.use)
        parts += wish_parts(desk, asked.token, application, client, found.wishes)
        parts.append(_deleting(asked.token, application))
        back = trail((APPLICATIONS, "My applications"))
        return shown(asked, application.title, *parts, back=back)


def _all_of(connection: Connection, name: str) -> tuple[list[Application], str]:
    return mine(connection, name), called(connection, name)[0]


def _everything(connection: Connection, client: str, owner: str, now: float) -> Everything | None:
    found = one(connection, client, owner)
    return Everything(connection, found, now) if found else None


def _stage(application: Application, now: float) -> Html:
    if not application.live(now):
        return badge("ended", "bad")
    return badge("sandbox", "mark") if application.stage == SANDBOX else badge("granted", "good")


def _card(desk: Desk, application: Application) -> Html:
    ends = None if application.ends_at is None else day(application.ends_at)
    return card(
        a(f"{APPLICATIONS}/{application.id}", application.title),
        e("p", _stage(application, desk.now), class_="badges"),
        e("p", application.purpose, class_="soft"),
        facts([("Client id", e("code", application.id)), ("Ends on", ends)]),
        level=2,
    )


def _state(application: Application, now: float) -> Html:
    ends = None if application.ends_at is None else moment(application.ends_at)
    words = "Ended" if ends is not None and not application.live(now) else "Ends"
    return e(
        "div",
        e("p", _stage(application, now), class_="badges"),
        e("p", application.purpose, class_="soft"),
        facts([
            ("Client id", e("code", application.id)),
            ("Made", moment(application.made_at)),
            (words, ends),
        ]),
    )  # fmt: skip


def _why(application: Application, now: float) -> str:
    if not application.live(now):
        return "its time in the sandbox is over. Ask for a plan below to go on, or make a new one."
    return f"the plan {application.client.plan} is not given here any more. Ask for another below."


def _first(desk: Desk, who: Visitor, found: Everything, client: Client) -> Html | None:
    """How far somebody is on the way to their first good answer."""
    name, call = found.application.id, first_call(desk.policy, client)
    if found.answered is not None:
        at = moment(found.answered.at)
        log = a(f"/portal/requests?client={name}", "see its calls")
        known = desk.tells(who, found.answered.target, let_in=found.answered.let_in)
        what = found.answered.operation if known else NOT_TOLD
        return notice("good", e("p", f"{what} answered well on ", at, ": ", log, "."))
    if call is None:
        return None
    link = a(call.page(name), "try it in the browser")
    return notice(
        "plain", e("p", "It was not answered yet. Call ", e("code", call.path), ", or ", link, ".")
    )


def _may(desk: Desk, client: Client) -> Html:
    plan = desk.policy.gateway.plans[client.plan]
    words = plan_words(plan, desk.policy.limits[client.plan])
    scopes = e("ul", [e("li", scope_told(each)) for each in sorted(client.scopes)])
    return e(
        "section",
        e("h2", "What it may do"),
        facts([
            ("Plan", client.plan),
            ("Limits", e("ul", [e("li", each) for each in words])),
            ("Scopes", scopes),
            ("Records of", rows_words(client.rows)),
        ]),
    )  # fmt: skip


def _deleting(token: str, application: Application) -> Html:
    inside = form(
        token,
        e(
            "p",
            "Its secrets, keys and tokens end at once, and its name is never given again. Its calls"
            " are in your log no more.",
        ),
        e("input", type="hidden", name="sure", value="yes"),
        button("Delete it for ever", kind="bad", value="delete"),
        action=f"{APPLICATIONS}/{application.id}",
    )
    return e("details", e("summary", "Delete this application"), e("div", inside, class_="inside"))
