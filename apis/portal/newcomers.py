"""People who register themselves: the name that they sign in with is given to them.

An address of mail that nobody checked is no identity. As the name is ours to give, whether an
address or a name is known here already cannot be found out by signing up.
"""

from __future__ import annotations

import base64
from hashlib import sha256

from sqlalchemy import Connection

from apis.gateway.policy import Gateway
from apis.gateway.registered import PEOPLE, changed
from apis.portal.applications import By
from apis.runtime.limits import Limit
from apis.runtime.store import find, insert_new

PREFIX = "dev-"
TERMS = "1"
"""Which terms were accepted."""
BY_ADDRESS = Limit(10, 3600, 10)
"""How many may sign up from one address, and from all together."""
IN_ALL = Limit(100, 3600, 100)


def name_for(session: str) -> str:
    """The name that this browser's owner would sign in with: the same until they have signed up."""
    told = base64.b32encode(sha256(f"name {session}".encode()).digest()).decode().lower()
    return PREFIX + told[:8]


def join(connection: Connection, called: str, email: str, password: str, by: By) -> bool:
    """Keep a person with the hash of their password; False where the name is somebody's."""
    kept = {"called": called, "email": email, "password": password, "joined_at": by.now}
    if not insert_new(connection, PEOPLE, name=by.person, **kept):
        return False
    changed(connection)
    by.told(connection, "person.joined", by.person, terms=TERMS)
    return True


def called(connection: Connection, name: str) -> tuple[str, str]:
    """What a person is called, and their address; those of the policy have only a name."""
    row = find(connection, PEOPLE, name=name)
    return (row.called, row.email) if row else (name, "")


def names_of(connection: Connection, name: str, gateway: Gateway) -> frozenset[str]:
    """What tells two accounts of one person: their names, and who they are said to be."""
    row, person = find(connection, PEOPLE, name=name), gateway.people.get(name)
    more = (row.email if row else "", person.person if person and person.person else "")
    return frozenset(_mailbox(each) for each in (name, *more) if each)


def _mailbox(address: str) -> str:
    """An address without case and without what follows a `+`: mostly one mailbox."""
    local, at, domain = address.casefold().rpartition("@")
    return f"{local.partition('+')[0]}{at}{domain}"
