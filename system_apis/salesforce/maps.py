"""The maps of one connection, as its metadata has them for each legal entity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from apis.runtime.mapping import Map, Overrides, inside
from apis.runtime.metadata import Metadata, effective_mapping
from apis.runtime.places import Flags
from contracts.canonical.deal import Deal, DealFile, DealMark, Gap
from contracts.canonical.party import Contact, Customer
from contracts.errors import Rejected
from system_apis.salesforce.mapping import CONTACT, CUSTOMER, DEAL, MARK

C = TypeVar("C")
Record = dict[str, Any]
PARENT = CUSTOMER.over(Overrides(fields={"account_manager": None}))
PARENTS = 4
"""A path may name five relationships: the account and four above it."""
ROLES = "OpportunityContactRoles"


class Variant(msgspec.Struct, frozen=True):
    """The maps of one legal entity (None: of all that have no entity)."""

    deal: Map[Deal]
    customer: Map[Customer]
    parent: Map[Customer]
    contact: Map[Contact]
    mark: Map[DealMark]

    @property
    def file(self) -> Map[DealFile]:
        """A deal with the account it is sold to and those above it."""
        above = {
            f"parents.{n}": inside("Account" + ".Parent" * (n + 1), self.parent)
            for n in range(PARENTS)
        }
        places = {"deal": inside(None, self.deal), "customer": inside("Account", self.customer)}
        return Map(DealFile, places | above)
