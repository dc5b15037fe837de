"""States and provinces of the countries whose addresses name them by a code of ISO 3166-2."""

from __future__ import annotations

ISO_3166_2 = {
    "US": """
AK Alaska; AL Alabama; AR Arkansas; AS American Samoa; AZ Arizona; CA California; CO Colorado; CT
Connecticut; DC District of Columbia; DE Delaware; FL Florida; GA Georgia; GU Guam; HI Hawaii; IA
Iowa; ID Idaho; IL Illinois; IN Indiana; KS Kansas; KY Kentucky; LA Louisiana; MA Massachusetts; MD
Maryland; ME Maine; MI Michigan; MN Minnesota; MO Missouri; MP Northern Mariana Islands; MS
Mississippi; MT Montana; NC North Carolina; ND North Dakota; NE Nebraska; NH New Hampshire; NJ New
Jersey; NM New Mexico; NV Nevada; NY New York; OH Ohio; OK Oklahoma; OR Oregon; PA Pennsylvania; PR
Puerto Rico; RI Rhode Island; SC South Carolina; SD South Dakota; TN Tennessee; TX Texas; UT Utah;
VA Virginia; VI U.S. Virgin Islands; VT Vermont; WA Washington; WI Wisconsin; WV West Virginia; WY
Wyoming
""",
    "CA": """
AB Alberta; BC British Columbia; MB Manitoba; NB New Brunswick; NL Newfoundland and Labrador; NS
Nova Scotia; NT Northwest Territories; NU Nunavut; ON Ontario; PE Prince Edward Island; QC Quebec;
SK Saskatchewan; YT Yukon
""",
    "AU": """
ACT Australian Capital Territory; NSW New South Wales; NT Northern Territory; QLD Queensland; SA
South Australia; TAS Tasmania; VIC Victoria; WA Western Australia
""",
}


def names(listed: str) -> dict[str, str]:
    """Name and code, in small letters, -> code."""
    pairs = (each.split(None, 1) for each in " ".join(listed.split()).split("; "))
    return {known.casefold(): code for code, name in pairs for known in (code, name)}


REGIONS = {country: names(listed) for country, listed in ISO_3166_2.items()}


def region_code(country: str | None, region: str | None) -> str | None:
    """The code of a state or province that people wrote out; what has none stays as it is."""
    known = REGIONS.get(country or "", {})
    return known.get((region or "").strip().rstrip(".").casefold(), region)


def is_region(country: str | None, region: str) -> bool:
    """Whether it is a code of the country, or the country has none."""
    return country not in REGIONS or region in REGIONS[country].values()
