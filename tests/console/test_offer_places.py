"""Each mistake `throughline check` finds in what is sold, and in the values that systems share.

`«` marks the line that is to be named; without it, it is the one on which the edit begins.
"""

from __future__ import annotations

import pytest

from apis.runtime.settings import Settings
from tests.console.edits import edited

DELIVERY = "      - {code: delivery, name: Delivery, share: 100}"
LIVE = "      - {code: go-live, name: Live, share: 60, due_after_days: 90}"
DESIGN = "      - {code: design, name: Design signed off, share: 40, due_after_days: 30}"
PM = 'role: CONS-PM, region: AMER, rate: {amount: "170.00"'
OFFERS = [
    # templates
    ("entities: [DE]", "entities: [FR]", "templates.3.entities.0: there is no `FR` in entities"),
    ("[retainer]", "[retained]", "templates.1.billing_models.0: Invalid enum value 'retained'"),
    (
        "code: consulting-retainer",
        "code: consulting-by-time",
        "templates.1: says again what templates.0 says",
    ),
    (
        f"tasks:\n{DELIVERY}",
        f"«tasks:\n{DELIVERY.replace('100', '90')}",
        "templates.0.tasks: their shares add up to 90, not to 100",
    ),
    (
        f"tasks:\n{DELIVERY}",
        f"«tasks:\n{DELIVERY}\n{DELIVERY}",
        "templates.0.tasks: delivery is there 2 times",
    ),
    (", share: 100}", "}", "templates.0.tasks.0: it plans nothing: give it a share or hours"),
    (", share: 100}", ", share: 101}", "templates.0.tasks.0.share: Expected `int` <= 100"),
    (
        ", share: 100}",
        ", share: 100, parent: phase}",
        "templates.0.tasks.0.parent: there is no task phase in consulting-by-time",
    ),
    ('hours: "4"', 'hours: "4", share: 1', "tasks.0.hours: a task plans hours or a share of what"),
    ('hours: "4"', 'hours: "-4"', "templates.5.tasks.0.hours: -4 is not above zero"),
    (
        f"milestones:\n{DESIGN}\n{LIVE}",
        f"«milestones:\n{DESIGN}\n{LIVE.replace('60', '61')}",
        "templates.4.milestones: their shares add up to 101, more than 100",
    ),
    (
        f"from_on: 2024-01-01\n    tasks:\n{DELIVERY}",
        f"from_on: 2024-01-01\n«    to_on: 2023-01-01\n    tasks:\n{DELIVERY}",
        "templates.0.to_on: it never applies: it ends before it begins",
    ),
    (
        "packages: [CONS-TRAINING]",
        "packages: [CONS-TRAINING]\n    billing_models: [retainer]",
        "templates.5.packages.0: no template takes CONS-TRAINING sold by time_and_materials in US",
    ),
    # rate cards
    (
        "role: CONS-TRAINING, region: AMER",
        "role: CONS-AUDIT, region: AMER",
        "rate_cards.0.rates.8.role: it is never sold: no project template takes CONS-AUDIT",
    ),
    ("code: uk-standard", "code: us-standard", "rate_cards.1: says again what rate_cards.0 says"),
    (
        "entity: US\n    rates:",
        "entity: FR\n    rates:",
        "rate_cards.0.entity: there is no `FR` in entities",
    ),
    (PM, PM.replace("170.00", "0"), "rate_cards.0.rates.6.rate.amount: 0 is not above zero"),
    (PM, PM.replace("170.00", "1.0000005"), "rate.amount: a rate takes at most 6 decimals"),
    (PM, PM.replace('"170.00"', "170.00"), "rate_cards.0.rates.6.rate.amount: write it in quotes"),
    (
        f"{PM}, currency: USD",
        f"{PM}, currency: USX",
        "rate_cards.0.rates.6.rate.currency: USX is no ISO 4217 currency",
    ),
    (
        f"{PM}, currency: USD",
        f"{PM}, currency: EUR",
        "rate_cards.0.rates.6.rate.currency: EUR, but CONS-PM has no rate in USD, the currency of",
    ),
    (
        "currency: USD}, from_on: 2026-01-01}\n      - {role: CONS-SENIOR",
        "«currency: USD}, from_on: 2025-12-31}\n      - {role: CONS-SENIOR",
        "rate_cards.0.rates.1: it holds on days on which rates.0 of the card holds",
    ),
    (
        "from_on: 2024-01-01, to_on: 2026-01-01}",
        "from_on: 2024-01-01, to_on: 2024-01-01}",
        "rate_cards.0.rates.0.to_on: it never applies",
    ),
    # numbers that are policy
    ("likely: 50", "likely: 95", "matching.likely: nobody is asked: it is above what is certain"),
    ("certain: 90", "certain: 190", "matching.certain: Expected `int` <= 100"),
    ('day: "8"', 'day: "0"', "entities.DE.hours.day: 0 is not above zero"),
    ("retainer_months: 12", "retainer_months: 0", "entities.DE.retainer_months: Expected `int`"),
]

LISTED = "is not in the code list mappings"
BOOKS = f"{LISTED}.netsuite.base"
CODES = [
    # what is used and has no code
    (
        "  UK:\n",
        "«  AT:\n    {name: A, country: AT, region: EMEA, currency: EUR}\n  UK:\n",
        f"entities.AT: AT {BOOKS}.customer.codes.entity",
    ),
    (
        "currency: GBP\n",
        "currency: SEK\n",
        f"entities.UK.currency: SEK {BOOKS}.project.codes.currency",
    ),
    (
        "currency: GBP\n",
        "currency: SEK\n",
        f"entities.UK.currency: SEK {LISTED}.kantata.base.rate_card.codes.currency",
    ),
    (
        "[DE-VAT-19]",
        "[DE-VAT-19, DE-VAT-7]",
        f"entities.DE.tax_codes.1: DE-VAT-7 {BOOKS}.customer.codes.tax_code",
    ),
    ("[net30]", "[net45]", f"entities.UK.payment_terms.0: net45 {BOOKS}.customer.codes.payment_"),
    (
        "service_lines: [Implementation, Advisory,",
        "service_lines: [Implementation, Audit,",
        f"entities.US.service_lines.1: Audit {BOOKS}.project.codes.dimensions.department",
    ),
    (
        "region: AMER\n",
        "region: LATAM\n",
        f"entities.US.region: LATAM {BOOKS}.project.codes.dimensions.location",
    ),
    (
        "dimensions: {class: external}",
        "dimensions: {class: client}",
        f"entities.US.dimensions.class: client {BOOKS}.project.codes.dimensions.class",
    ),
    (
        PM,
        PM.replace("CONS-PM", "CONS-LEAD"),
        f"rates.6.role: CONS-LEAD {LISTED}.kantata.base.staffing_request.codes.role",
    ),
    (
        "{code: delivery, name: Delivery,",
        "{code: delivery, name: Delivery, role: LEAD,",
        f"templates.0.tasks.0.role: LEAD {LISTED}.kantata.base.staffing_request.codes.role",
    ),
    ('"400": on_hold, ', "", "kantata.base.project.codes.state: on_hold is not in the code list"),
    ('"4": on_hold, ', "", "netsuite.base.project.codes.state: on_hold is not in the code list"),
    (
        "dimensions: {class: external}",
        "dimensions: {class: external, office: Boston}",
        "entities.US.dimensions.office: netsuite has no field for it (mappings.netsuite.base.pro",
    ),
    # codes of what nobody knows
    ('"13": US-SERVICES', '"13": US-SALES', "tax_code.13: US-SALES is no tax_code of the metadata"),
    ('"3": net60', '"3": net90', "customer.codes.payment_terms.3: net90 is no payment_terms of"),
    (
        '"505": CONS-TRAINING',
        '"505": TRAINER',
        "codes.role.505: TRAINER is no role of the metadata",
    ),
    (
        "# project_template:",
        "project_template:",
        "project_template.codes.template.7001: erp-rollout is no template of the metadata, only",
    ),
    ('"2": Advisory', '"2": Audit', "codes.dimensions.department.2: Audit is no department of the"),
    ('{"1": external}', '{"1": x}', "codes.dimensions.class.1: x is no class of the metadata"),
    ('{"1": AMER,', '{"1": APAC,', "codes.dimensions.location.1: APAC is no location of the"),
]

ROWS = [*OFFERS, *CODES]


@pytest.mark.parametrize(("old", "new", "told"), ROWS, ids=[f"{row[2]}"[:60] for row in ROWS])
def test_a_mistake_is_told_with_its_line_and_place(
    settings: Settings, old: str, new: str, told: str
) -> None:
    start, found = edited(settings, "apis/entities.yaml", old, new)

    assert any(each.startswith(start) and told in each for each in found), found
