"""Countries as people write them in an account's address: an org without country codes has text."""

from __future__ import annotations

from contracts.canonical.country import NAMES

ALSO = {
    "USA": "US",
    "U.S.": "US",
    "U.S.A.": "US",
    "United States of America": "US",
    "UK": "GB",
    "U.K.": "GB",
    "Great Britain": "GB",
    "England": "GB",
    "Scotland": "GB",
    "Wales": "GB",
    "Northern Ireland": "GB",
    "Deutschland": "DE",
    "Österreich": "AT",
    "Schweiz": "CH",
    "España": "ES",
    "Italia": "IT",
    "Nederland": "NL",
    "The Netherlands": "NL",
    "Holland": "NL",
    "Czech Republic": "CZ",
    "Turkey": "TR",
    "Korea": "KR",
    "Republic of Korea": "KR",
    "Russian Federation": "RU",
    "Viet Nam": "VN",
    "UAE": "AE",
}

COUNTRIES = {**NAMES, **{code: code for code in NAMES.values()}, **ALSO}
"""Vendor value -> ISO 3166-1 code; read without regard to case."""
