"""What types cannot see in what is sold: templates nobody can plan by, rates that never hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import product

from apis.runtime.metadata import Metadata
from apis.runtime.typed_yaml import Finding, Place
from contracts.canonical.contract import ProjectTemplate, RateCard, rate_of, template_of
from contracts.canonical.deal import BillingModel
from contracts.canonical.money import DECIMALS, RATE_DECIMALS

MODELS: tuple[BillingModel, ...] = ("time_and_materials", "fixed_price", "milestone", "retainer")
WHOLE = 100


def offer_findings(metadata: Metadata, on: date) -> Iterator[Finding]:
    """Everything that templates and rate cards tell about themselves and each other."""
    for at, template in enumerate(metadata.templates):
        yield from _template(("templates", at), template)
        for n, name in enumerate(template.entities):
            if name not in metadata.entities:
                yield ("templates", at, "entities", n), f"there is no `{name}` in entities"
    yield from _untemplated(metadata, on)
    for at, card in enumerate(metadata.rate_cards):
        yield from _card(("rate_cards", at), card)
        if card.entity in metadata.entities:
            yield from _foreign(("rate_cards", at), card, metadata.entities[card.entity].currency)
        yield from _unsold(("rate_cards", at), card, metadata.templates)


def _template(place: Place, template: ProjectTemplate) -> Iterator[Finding]:
    yield from _never((*place, "to_on"), template.from_on, template.to_on)
    codes = [task.code for task in template.tasks]
    parents = {task.parent for task in template.tasks}
    for at, task in enumerate(template.tasks):
        here = (*place, "tasks", at)
        if task.parent and task.parent not in codes:
            yield (*here, "parent"), f"there is no task {task.parent} in {template.code}"
        if task.share and task.hours:
            yield (*here, "hours"), "a task plans hours or a share of what was sold, not both"
        if not (task.share or task.hours or task.code in parents):
            yield here, "it plans nothing: give it a share or hours, or tasks below it"
        if task.hours is not None and not task.hours > 0:
            yield (*here, "hours"), f"{task.hours} is not above zero"
    yield from _twice((*place, "tasks"), codes)
    yield from _twice((*place, "milestones"), [each.code for each in template.milestones])
    planned = sum(task.share or 0 for task in template.tasks)
    if planned not in (0, WHOLE):
        yield (*place, "tasks"), f"their shares add up to {planned}, not to {WHOLE}"
    billed = sum(each.share or 0 for each in template.milestones)
    if billed > WHOLE:
        yield (*place, "milestones"), f"their shares add up to {billed}, more than {WHOLE}"


def _untemplated(metadata: Metadata, on: date) -> Iterator[Finding]:
    """A package that is sold by a model or an entity for which nothing says how it is delivered."""
    told: set[str] = set()
    for at, template in enumerate(metadata.templates):
        for n, package in enumerate(template.packages):
            for model, entity in product(MODELS, metadata.entities):
                day = max(on, template.from_on)
                if package in told or template_of(metadata.templates, package, model, entity, day):
                    continue
                told.add(package)
                place = ("templates", at, "packages", n)
                yield place, f"no template takes {package} sold by {model} in {entity}"


def _unsold(
    place: Place, card: RateCard, templates: tuple[ProjectTemplate, ...]
) -> Iterator[Finding]:
    """A package has a price, and nothing says how it is delivered; a default takes any."""
    if any(not template.packages for template in templates):
        return
    delivered = {package for template in templates for package in template.packages}
    delivered |= {task.role for template in templates for task in template.tasks if task.role}
    told: set[str] = set()
    for n, rate in enumerate(card.rates):
        if rate.role not in {*delivered, *told}:
            told.add(rate.role)
            here = (*place, "rates", n, "role")
            yield here, f"it is never sold: no project template takes {rate.role}"


def _card(place: Place, card: RateCard) -> Iterator[Finding]:
    for at, rate in enumerate(card.rates):
        here = (*place, "rates", at)
        yield from _never((*here, "to_on"), rate.from_on, rate.to_on)
        amount, currency = rate.rate.amount, rate.rate.currency
        if currency not in DECIMALS:
            yield (*here, "rate", "currency"), f"{currency} is no ISO 4217 currency"
        if not amount > 0:
            yield (*here, "rate", "amount"), f"{amount} is not above zero"
        if -int(amount.as_tuple().exponent) > RATE_DECIMALS:
            yield (*here, "rate", "amount"), f"a rate takes at most {RATE_DECIMALS} decimals"
        for n, other in enumerate(card.rates[:at]):
            same = (rate.role, rate.region, currency)
            if same != (other.role, other.region, other.rate.currency):
                continue
            if (other.to_on is None or rate.from_on < other.to_on) and (
                rate.to_on is None or other.from_on < rate.to_on
            ):
                yield here, f"it holds on days on which rates.{n} of the card holds"


def _foreign(place: Place, card: RateCard, own: str) -> Iterator[Finding]:
    """Rates in another currency of roles that have none in the entity's own that day: a slip."""
    for at, rate in enumerate(card.rates):
        currency = rate.rate.currency
        if (
            currency in DECIMALS
            and rate_of(card, rate.role, rate.region, own, rate.from_on) is None
        ):
            told = (
                f"{currency}, but {rate.role} has no rate in {own}, the currency of {card.entity}"
            )
            yield (*place, "rates", at, "rate", "currency"), told


def _never(place: Place, first: date, end: date | None) -> Iterator[Finding]:
    if end is not None and end <= first:
        yield place, "it never applies: it ends before it begins"


def _twice(place: Place, codes: list[str]) -> Iterator[Finding]:
    for code, count in Counter(codes).items():
        if count > 1:
            yield place, f"{code} is there {count} times"
