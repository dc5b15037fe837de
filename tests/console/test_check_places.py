"""Each mistake `throughline check` finds in a file: an edit, and file, line, place and sentence.

`«` marks the line that is to be named; without it, it is the one on which the edit begins.
"""

from __future__ import annotations

import pytest

from apis.runtime.settings import Settings
from tests.console.edits import edited

FEED = "{connection: salesforce, object: deal, every_s: 30, overlap_s: 300, sweep_at: 02:30}"
LIMIT = 'above: {amount: "250000.00", currency: USD}'
STARTS = "scopes:\n        runs.start: [startRun, startBackfill, cancelBackfill]\n"
US_LIMIT = (
    '{entity: US, flow: deal_to_project, above: {amount: "250000.00", currency: USD},'
    " owner: delivery-director, from: 2024-01-01}"
)
OTHER = (
    "{vendor: salesforce, url: 'env:A', api: {version: a}, auth: {kind: jwt, credentials: 'env:A'}}"
)

ENTITIES = [
    # names that lead nowhere
    ("object: deal,", "object: dael,", "feeds.0.object: crm lists no dael, only deal"),
    (
        "connection: salesforce, object",
        "connection: hubspot, object",
        "feeds.0.connection: there is no `hubspot` in connections",
    ),
    (
        "{connection: kantata, roles",
        "{connection: hubspot, roles",
        "contacts.0.connection: there is no `hubspot` in connections",
    ),
    (
        "#  - {connection: netsuite, roles",
        "«  - {connection: kantata, roles",
        "contacts.1: says again what contacts.0 says",
    ),
    ("crm: salesforce,", "crm: hubspot,", "roles.0.serves.crm: there is no `hubspot`"),
    ("erp: netsuite}", "erp: salesforce}", "roles.0.serves.erp: salesforce serves crm only"),
    ("psa: kantata,", "psa: netsuite,", "roles.0.serves.psa: netsuite serves erp only"),
    (
        "{connection: salesforce, object",
        "{connection: kantata, object",
        "feeds.0.object: psa lists no deal, nor anything else",
    ),
    # what the other vendors map, and what it can be
    (
        "rate_card: {codes",
        "rate_cards: {codes",
        "base.rate_cards: kantata maps no rate_cards, only",
    ),
    ("{currency: {", "{curency: {", "rate_card.codes.curency: a rate_card has no curency"),
    ('{"100": planned', '{"100": plan', "codes.state.100: plan is no state, only planned"),
    (
        "dimensions.class: custentity_tl_class.id",
        "dimension.class: custentity_tl_class.id",
        "netsuite.base.project.fields.dimension.class: a project has no dimension.class",
    ),
    ('{"11": DE-VAT-19', '{"11": [DE]', "customer.codes.tax_code.11: Expected `str`, got `array`"),
    ('entity: {"1": US', 'entity: {"1": FR', "codes.entity.1: FR is no entity that is known"),
    ("vendor: salesforce", "vendor: siebel", "connections.salesforce.vendor: there is no vendor"),
    ("entity: DE, flow", "entity: AT, flow", "approvals.2.entity: there is no `AT` in entities"),
    ("flow: deal_to_project", "flow: deal_to_cash", "approvals.0.flow: there is no flow deal_to"),
    ("owner: delivery-director", "owner: cfo", "approvals.0.owner: nobody in gateway.yaml has"),
    (
        "  salesforce:\n    vendor",
        f"  other: {OTHER}\n  salesforce:\n    vendor",
        "connections.other: gateway.yaml has no apis.system.other",
    ),
    # numbers that cannot be
    ("every_s: 30", "every_s: 0", "feeds.0.every_s: Expected `float` > 0"),
    ("every_s: 30", "every_s: -5", "feeds.0.every_s: Expected `float` > 0"),
    ("overlap_s: 300", "overlap_s: 0", "feeds.0.overlap_s: Expected `float` > 0"),
    ("deadline_s: 10", "deadline_s: -1", "connections.salesforce.deadline_s: Expected `float` > 0"),
    ("search_lag_s: 60", "search_lag_s: -1", "connections.salesforce.search_lag_s: Expected"),
    (
        "concurrency: 20",
        "concurrency: 0",
        "connections.salesforce.budgets.concurrency: Expected `int` >= 1",
    ),
    ("daily: 100000", "daily: -1", "connections.salesforce.budgets.daily: Expected `int` >= 1"),
    ("rate: 100/s", "rate: 0/s", "budgets.rate: expected calls per period, such as 100/s"),
    ("transport: aiohttp", "max_answer_bytes: 0", "max_answer_bytes: Expected `int` >= 1"),
    ('"250000.00"', '"-1"', "approvals.0.above.amount: -1 is below zero"),
    ('rate: "1.140000"', 'rate: "0"', "rates.3.rate: 0 is not above zero"),
    # codes of the world
    ("country: US", "country: ZZ", "entities.US.country: ZZ is no ISO 3166 country"),
    ("country: US", "country: usa", "entities.US.country: expected ISO 3166-1 code, such as DE"),
    ("CA: ca.bn", "ZZ: ca.bn", "entities.US.tax_ids.ZZ: ZZ is no ISO 3166 country"),
    ("CA: ca.bn", "CA: ca.bm", "entities.US.tax_ids.CA: python-stdnum has no `ca.bm`"),
    ("currency: GBP", "currency: UKP", "entities.UK.currency: UKP is no ISO 4217 currency"),
    (
        'above: {amount: "250000.00", currency: USD',
        'above: {amount: "1", currency: USX',
        "approvals.0.above.currency: 'USX' is no ISO 4217 currency",
    ),
    ('"250000.00"', '"1.005"', "approvals.0.above.amount: USD takes at most 2 decimals"),
    ("from: GBP", "from: UKP", "rates.1.from: UKP is no ISO 4217 currency"),
    ("to: USD", "to: EUR", "rates.0.to: EUR is the currency it is from"),
    ("currency: EUR}, owner", "currency: CHF}, owner", "there is no exchange rate from EUR to CHF"),
    (
        "weekly: []",
        "weekly: [{day: sunday, from: 04:00, until: 05:00, zone: Europe/Bonn}]",
        "windows.weekly.0.zone: there is no time zone Europe/Bonn",
    ),
    # what is written as something else
    ('"250000.00"', "250000.00", "approvals.0.above.amount: write it in quotes"),
    ('"250000.00"', "250000", "approvals.0.above.amount: write it in quotes"),
    ('"250000.00"', '"250,000"', "approvals.0.above.amount: `250,000` is no decimal number"),
    ('"250000.00"', '"NaN"', "approvals.0.above.amount: `NaN` is no decimal number"),
    ('rate: "1.085000"', "rate: 1.085", "rates.0.rate: write it in quotes"),
    ("version: v62.0", "version: 62.0", "api.version: Expected `str`, got `decimal`: write it in"),
    (
        "purchase_order_required: true",
        "purchase_order_required: yes",
        "entities.UK.purchase_order_required: Expected `bool`, got `str`: write true or false",
    ),
    ("from: 2024-01-01}", "from: 01.01.2024}", "approvals.0.from: Invalid RFC3339 encoded date"),
    ("entity: UK, reopened", "entity: AT, reopened", "deal_changes.1.entity: there is no `AT`"),
    (
        "reopened: hold",
        "reopened: keep",
        "deal_changes.0.reopened: Invalid enum value 'keep'",
    ),
    ("lost: hold", "flow: cash, lost: hold", "deal_changes.0.flow: there is no flow cash"),
    (
        "changed: amend, owner: d",
        "changed: amend, owner: nod",
        "deal_changes.0.owner: nobody in",
    ),
    # addresses, references, versions, windows
    (
        "url: env:SALESFORCE_URL|http://127.0.0.1:9101",
        "url: my.salesforce.example",
        "connections.salesforce.url: an address begins with https://",
    ),
    ("SALESFORCE_URL|http:", "SALESFORCE_URL|ftp:", "connections.salesforce.url: an address"),
    ("LOGIN_URL|http:", "LOGIN_URL|htp:", "connections.salesforce.login_url: an address"),
    ('"{url}/{external_id}"', '"{url}/{id}"', "record_url: only {url} and {external_id} are"),
    ("credentials: file:", "credentials: hunter2-", "credentials: expected a reference, never the"),
    ("retires_on: 2028-10-31", "retires_on: 2025-10-31", "api: v62.0 ran out on 2025-10-31"),
    (
        "once: []",
        "once: [{from: 2026-12-05T06:00:00Z, until: 2026-12-05T02:00:00Z}]",
        "windows.once.0.until: this window ends before it begins",
    ),
    (
        "once: []",
        "once: [{from: 2026-12-05T02:00:00, until: 2026-12-05T06:00:00}]",
        "windows.once.0.from: Expected `datetime` with a timezone",
    ),
    # what is told twice, or never applies
    ("  UK:\n", "  US:\n", "`US` is there twice"),
    (f"  - {FEED}", f"  - {FEED}\n«  - {FEED}", "feeds.1: says again what feeds.0 says"),
    (
        'rate: "1.140000", on: 2026-01-01}',
        'rate: "1.140000", on: 2024-01-01}',
        "rates.3: says again what rates.0 says",
    ),
    (
        "erp: netsuite}",
        "erp: netsuite}\n«  - serves: {crm: salesforce}",
        "roles.1.serves.crm: says again what roles.0.serves.crm says",
    ),
    (
        f"  - {US_LIMIT}",
        f"  - {US_LIMIT.replace('from', 'until: 2023-12-31, from')}",
        "approvals.0.until: it never applies: it ends before it begins",
    ),
    # names of settings
    ("concurrency:", "concurency:", "budgets.concurency: there is no such setting, only concurren"),
    ("stewards:", "steward:", "steward: there is no such setting, only approvals"),
    ("    kind: client_credentials", "    kind: password", "auth.kind: Invalid enum value 'pass"),
    ("  US:\n    name:", "«  US:\n    nom:", "entities.US: `name` is missing"),
]

OWNERSHIP = [
    ("{object: custommer, system: crm}", "object: there is no custommer, only assignment, "),
    ("{object: customer, attribute: vat, system: crm}", "attribute: a customer has no vat, only"),
    ("{object: customer, attribute: key, system: crm}", "attribute: key has no owner that could"),
    ("{object: customer, entity: FR, system: crm}", "entity: there is no `FR` in entities"),
    ("{object: customer, system: hcm}", "system: no connection serves hcm (see `roles`)"),
    ("{object: customer, entity: DE, system: tax}", "system: no connection serves tax for DE"),
    ("{object: customer, system: sap}", "system: Invalid enum value 'sap', expected crm or psa"),
]

MAPPINGS = [
    ("base: {dael: {}}", "base.dael: salesforce maps no dael, only contact, customer, deal"),
    ("base: {invoice: {}}", "base.invoice: salesforce maps no invoice"),
    ("base: {deal: {fields: {regoin: R__c}}}", "base.deal.fields.regoin: a deal has no regoin"),
    ("base: {deal: {fields: {value: V__c}}}", "fields.value: value has parts: map each, such as"),
    ("base: {deal: {fields: {value.sum: V__c}}}", "fields.value.sum: a deal has no value.sum"),
    ("base: {deal: {fields: {lines.nam: N__c}}}", "fields.lines.nam: a deal has no lines.nam"),
    ("base: {customer: {fields: {tax_ids: T__c}}}", "fields.tax_ids: tax_ids holds several values"),
    ("base: {deal: {fields: {lines: L__c}}}", "map each, such as lines.external_id"),
    ("base: {deal: {fields: {region: 'R c'}}}", "fields.region: `R c` is no path"),
    ("base: {deal: {fields: {region: 'A..B'}}}", "fields.region: `A..B` is no path"),
    ("base: {deal: {fields: {region: 7}}}", "fields.region: Expected `str | null`, got `int`: wri"),
    ("base: {deal: {fields: {state: ~}}}", "fields.state: a deal cannot be without state"),
    ("base: {deal: {feilds: {}}}", "base.deal.feilds: there is no such setting, only codes"),
    ("regions: {LATAM: {deal: {}}}", "regions.LATAM: no entity is in the region LATAM"),
    ("entities: {FR: {deal: {}}}", "entities.FR: there is no `FR` in entities"),
    ("units: {acme: {deal: {}}}", "units.acme: no entity has the unit acme"),
    ("base: {deal: {codes: {regoin: {a: A}}}}", "codes.regoin: a deal has no regoin"),
    ("base: {deal: {codes: {state: {a: won}}}}", "codes.state: deal.state takes no codes"),
    (
        "base: {deal: {codes: {billing_model: {T&M: tm}}}}",
        "codes.billing_model.T&M: tm is no billing_model, only time_and_materials, fixed_price",
    ),
    ("base: {deal: {codes: {entity: {Gmbh: AT}}}}", "codes.entity.Gmbh: AT is no entity that is"),
    ("base: {customer: {codes: {country: {Oz: ZZ}}}}", "codes.country.Oz: ZZ is no country that"),
    ("base: {deal: {constants: {entity: FR}}}", "constants.entity: FR is no entity that is known"),
    ("base: {deal: {constants: {value.currency: EUX}}}", "value.currency: EUX is no currency that"),
    ("base: {deal: {constants: {regoin: A}}}", "constants.regoin: a deal has no regoin"),
]

GATEWAY = [
    # secrets written where only their names belong
    (
        "secret: home:clients.json",
        "secret: hunter2",
        "clients.demo.secret: a secret is named as env:NAME, file:/path or home:name, never",
    ),
    (
        "secret: home:clients.json",
        "secret: 12345",
        "clients.demo.secret: Expected `str | array | null`",
    ),
    ("version: 1\n", "version: 1\n«signing: hunter2\n", "signing: a secret is named as env:NAME"),
    ("secret: home:clients.json", "keys: hunter2", "clients.demo.keys: a secret is named as env"),
    (
        "secret: home:clients.json",
        "keys: [{kty: EC, d: abc}]",
        "clients.demo.keys: only public keys belong here",
    ),
    # names of settings
    ("rate: 6000/min", "rte: 6000/min", "plans.internal.rte: there is no such setting, only burst"),
    ("plans:\n", "plan:\n", "plan: there is no such setting, only apis, balancers, clients"),
    ("    roles: [integration", "    role: [integration", "clients.demo.role: there is no such"),
    ("  demo:\n    plan:", "«  demo:\n    plans:", "clients.demo: `plan` is missing"),
    ("version: 1\n", "version: '1'\n", "version: Expected `int`, got `str`"),
    ("  demo-finance:", "  demo:", "`demo` is there twice"),
    ("{status: current}", "{status: newest}", "versions.1.status: Invalid enum value 'newest'"),
    # scopes, schemas, apps
    (
        "runs.start: [startRun, startBackfill, cancelBackfill]",
        "runs.start: [startRuns, startBackfill, cancelBackfill]",
        "apis.process.deal-to-project.scopes.runs.start: operation startRuns is not in",
    ),
    (
        "runs.start: [startRun, startBackfill, cancelBackfill]",
        "runs.start: [startRun, startBackfill, cancelBackfill]\n«        runs.stop: []",
        "apis.process.deal-to-project.scopes.runs.stop: this scope opens no operation",
    ),
    (
        f"{STARTS}        runs.read: [listRuns, getRun, listBackfills, getBackfill]",
        f"{STARTS}        runs.read: [listRuns, listBackfills, getBackfill]",
        "apis.process.deal-to-project.scopes: operation getRun has no scope",
    ),
    (
        "scopes: [runs.start,",
        "scopes: [runs.stop,",
        "clients.demo.scopes: no API grants runs.stop",
    ),
    ("1: {status", "7: {status", "versions.7: there is no published document process/deal-to-pro"),
    ("    salesforce:\n      vendor: salesforce\n", "    salesforce:\n", "`vendor` is missing"),
    ("vendor: salesforce\n", "vendor: acme\n", "apis.system.salesforce.vendor: acme, but salesf"),
    (
        "vendor: salesforce\n",
        "vendor: salesforce\n«      app: 'a:b'\n",
        "app: this belongs to other",
    ),
    (
        'deal-to-project:\n      app: "process_apis.deal_to_project:app"',
        "deal-to-project:\n      limits: {}",
        "deal-to-project: `app` is missing",
    ),
    ("    salesforce:\n", "    hubspot:\n", "apis.system.hubspot: the metadata has no"),
    # limits that never apply
    ("rate: 6000/min", "rate: 6000/minute", "plans.internal.rate: a limit is written like 600/min"),
    ("{rate: 6000/min}", "{}", "plans.internal: a plan needs a rate, a quota or a concurrency"),
    ("{rate: 6000/min}", "{quota: 5/day, burst: 3}", "plans.internal.burst: a burst is at least 1"),
    (
        "  partner:",
        "  spare: {rate: 1/s}\n  partner:",
        "plans.spare: it never applies: no client has this plan",
    ),
    (
        "quota: 50000/day",
        "quota: 500000/day",
        "plans.partner.quota: it never applies: the rate allows 86460 calls in that time",
    ),
    (
        "      versions:\n        1: {status: current}",
        "      limits: {stopRun: 1/s}\n      versions:\n        1: {status: current}",
        "apis.process.deal-to-project.limits.stopRun: operation stopRun is not in",
    ),
    (
        "{status: current}",
        "{status: deprecated, since: 2026-06-01, sunset: 2026-05-01}",
        "versions.1.sunset: it ends on 2026-05-01, but is deprecated since 2026-06-01",
    ),
    ("{status: current}", "{status: deprecated}", "versions.1: deprecated since when?"),
    ("rows: {customers: []}", "rows: {}", "clients.demo-partner.rows: name customers or entities"),
    (
        "rows: {customers: []}",
        "rows: {entities: [FR]}",
        "clients.demo-partner.rows.entities: the metadata has no entity FR",
    ),
]

ROWS = [
    *(("apis/entities.yaml", *row) for row in ENTITIES),
    *(
        ("apis/entities.yaml", "ownership: []", f"ownership:\n«  - {row}", f"ownership.0.{told}")
        for row, told in OWNERSHIP
    ),
    *(
        ("apis/entities.yaml", f"    {new.split(':')[0]}: {{}}", f"    {new}", told)
        for new, told in MAPPINGS
    ),
    *(("gateway.yaml", *row) for row in GATEWAY),
]


@pytest.mark.parametrize(("name", "old", "new", "told"), ROWS, ids=[f"{r[3]}"[:60] for r in ROWS])
def test_a_mistake_is_told_with_its_file_line_and_place(
    settings: Settings, name: str, old: str, new: str, told: str
) -> None:
    start, found = edited(settings, name, old, new)

    assert any(each.startswith(start) and told in each for each in found), found
