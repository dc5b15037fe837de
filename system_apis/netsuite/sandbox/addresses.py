"""The address book of a customer: lines of a sublist, each with an address of its own."""

from __future__ import annotations

from typing import Any

from apis.runtime.sandbox import Kit
from contracts.canonical.country import COUNTRY_CODES
from system_apis.netsuite.sandbox.errors import Refused, invalid_field
from system_apis.netsuite.sandbox.values import Row, reference

TEXTS = ("addr1", "addr2", "addr3", "city", "state", "zip", "addressee", "attention")
LINE = {"addressBookAddress", "defaultBilling", "defaultShipping", "label", "id", "internalId"}
FLAGS = ("defaultBilling", "defaultShipping")
LINES = (
    "SELECT b.internalid, b.defaultbilling, b.defaultshipping, b.label, a.country, a.addr1,"
    " a.addr2, a.addr3, a.city, a.state, a.zip, a.addressee, a.attention"
    " FROM customeraddressbook b JOIN customeraddressbookentityaddress a"
    " ON a.nkey = b.addressbookaddress WHERE b.entity=? ORDER BY b.internalid"
)


class Addresses:
    """Lines and addresses as two tables, the way queries join them."""

    def __init__(self, kit: Kit) -> None:
        self.db = kit.db

    def checked(self, value: Any) -> list[Any]:
        """The lines of a body; Refused if one cannot be read."""
        lines = value.get("items") if isinstance(value, dict) else None
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            raise invalid_field("addressBook", value)
        for n, line in enumerate(lines):
            place = f"addressBook.items[{n}]"
            address = line.get("addressBookAddress") or {}
            if unknown := [*(line.keys() - LINE), *(address.keys() - {*TEXTS, "country"})]:
                text = f"Error while accessing resource: Unknown property {unknown[0]}."
                raise Refused("INVALID_CONTENT", text, path=f"{place}.{unknown[0]}")
            country = address.get("country")
            if country is not None and reference(country) not in COUNTRY_CODES:
                raise invalid_field("country", country, f"{place}.addressBookAddress.country")
        return lines

    def merge(self, customer: int, lines: list[Any]) -> None:
        """Add lines; one that names a line there is changes it."""
        for line in lines:
            address = line.get("addressBookAddress") or {}
            values = [address.get(name) for name in TEXTS]
            country = reference(address.get("country"))
            given = line.get("internalId") or line.get("id")
            if given is not None:
                self._drop(customer, int(given))
            for flag in FLAGS:
                if line.get(flag):
                    sql = f"UPDATE customeraddressbook SET {flag}='F' WHERE entity=?"  # noqa: S608 - one of two
                    self.db.execute(sql, [customer])
            names, marks = ", ".join(TEXTS), ", ".join("?" * len(TEXTS))
            sql = (
                f"INSERT INTO customeraddressbookentityaddress (country, {names})"  # noqa: S608 - our names
                f" VALUES (?, {marks})"
            )
            nkey = self.db.execute(sql, [country, *values]).lastrowid
            flags = ["T" if line.get(name) else "F" for name in FLAGS]
            self.db.execute(
                "INSERT INTO customeraddressbook"
                " (internalid, entity, addressbookaddress, defaultbilling, defaultshipping, label)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [given and int(given), customer, nkey, *flags, line.get("label")],
            )

    def clear(self, customer: int) -> None:
        """No addresses."""
        for (line,) in self.db.execute(
            "SELECT internalid FROM customeraddressbook WHERE entity=?", [customer]
        ).fetchall():
            self._drop(customer, line)

    def show(self, customer: int, here: str, *, expand: bool) -> Row:
        """The sublist: its link, or its lines."""
        shown: Row = {"links": [{"rel": "self", "href": here}]}
        if not expand:
            return shown
        items = []
        for id_, billing, shipping, label, country, *texts in self.db.execute(LINES, [customer]):
            address = {name: text for name, text in zip(TEXTS, texts, strict=True) if text}
            if country:
                address["country"] = {"id": country}
            flags = {"defaultBilling": billing == "T", "defaultShipping": shipping == "T"}
            line = {"id": id_, "internalId": id_, **flags, "addressBookAddress": address}
            items.append(line | ({"label": label} if label else {}))
        count = {"count": len(items), "hasMore": False, "offset": 0, "totalResults": len(items)}
        return shown | {"items": items} | count

    def _drop(self, customer: int, line: int) -> None:
        sql = (
            "DELETE FROM customeraddressbook WHERE entity=? AND internalid=?"
            " RETURNING addressbookaddress"
        )
        for (nkey,) in self.db.execute(sql, [customer, line]).fetchall():
            self.db.execute("DELETE FROM customeraddressbookentityaddress WHERE nkey=?", [nkey])
