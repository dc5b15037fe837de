"""States and provinces, however they are written."""

from __future__ import annotations

import pytest

from contracts.canonical.region import is_region, region_code


@pytest.mark.parametrize(
    ("country", "written", "code"),
    [
        ("US", "Colorado", "CO"),
        ("US", " co", "CO"),
        ("US", "new york", "NY"),
        ("CA", "British Columbia", "BC"),
        ("AU", "New South Wales", "NSW"),
        ("US", "Bavaria", "Bavaria"),
        ("DE", "Bayern", "Bayern"),
        ("US", None, None),
        (None, "CO", "CO"),
    ],
)
def test_a_state_that_has_a_code_gets_it(
    country: str | None, written: str | None, code: str | None
) -> None:
    assert region_code(country, written) == code


def test_only_countries_with_codes_refuse_others() -> None:
    assert is_region("US", "CO")
    assert not is_region("US", "Bavaria")
    assert is_region("DE", "Bavaria")
