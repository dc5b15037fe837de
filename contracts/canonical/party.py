"""Who is billed, who bills, and whom to talk to."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Currency, Money
from contracts.canonical.visibility import FINANCE_ONLY

Country = Annotated[
    str, msgspec.Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 code", examples=["DE"])
]


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A postal address; `kind` says what it is for, `region` is a state or province."""

    kind: Literal["billing", "shipping", "registered", "other"] = "billing"
    street: str | None = None
    city: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None


class TaxId(msgspec.Struct, frozen=True, kw_only=True):
    """A tax number of a country, such as `DE` / `vat` / `DE136695976`."""

    country: str
    kind: str = "vat"
    number: str


class BankAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where money is sent or taken from; outside the ERP only finance sees it."""

    holder: str
    iban: str | None = None
    number: str | None = None
    bank_code: str | None = None
    currency: Currency | None = None


class LegalEntity(msgspec.Struct, frozen=True, kw_only=True):
    """A company of the firm: it sells, delivers, bills and keeps books in one currency."""

    id: str
    external_id: str | None = None
    name: str
    country: Country
    currency: Currency
    addresses: tuple[Address, ...] = ()
    tax_ids: tuple[TaxId, ...] = ()
    bank_accounts: Annotated[tuple[BankAccount, ...], FINANCE_ONLY] = ()
    parent: Ref | None = None
    extensions: dict[str, str] = {}


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """A party we bill. Owner: ERP, except name, hierarchy and `account_manager` (CRM).

    `key` is our business key in the connection's key field; `number` is the connection's own
    customer number. `website`, `phone` and `registration_number` serve to find duplicates.
    """

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    number: str | None = None
    name: str
    legal_name: str | None = None
    entity: str | None = None
    state: Literal["active", "inactive", "merged"] = "active"
    parent: Ref | None = None
    country: str | None = None
    addresses: tuple[Address, ...] = ()
    tax_id: str | None = None
    tax_ids: tuple[TaxId, ...] = ()
    tax_code: str | None = None
    payment_terms: str | None = None
    currency: str | None = None
    credit_limit: Annotated[Money | None, FINANCE_ONLY] = None
    credit_hold: bool | None = None
    account_manager: str | None = None
    website: str | None = None
    phone: str | None = None
    registration_number: str | None = None
    bank_accounts: Annotated[tuple[BankAccount, ...], FINANCE_ONLY] = ()
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A person at a customer; `role` is the part they play, such as `billing` or `signatory`."""

    id: str | None = None
    external_id: str | None = None
    customer: Ref | None = None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    role: str | None = None
    primary: bool = False
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}
