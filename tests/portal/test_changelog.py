"""The changelog is read as it is written: by API, release and kind."""

from __future__ import annotations

from pathlib import Path

from apis.gateway.policy import load_gateway
from apis.portal.changelog import Change, changes, inline, read_changes
from tests.portal.conftest import SHIPPED

TEXT = """\
# Changelog

Words before.

## Unreleased

### process/orders v2

#### Changed
- A line that
  goes on, with `code`.
- Another.

### Gateway

#### Added
- Not of an API.

## 1.0.0 - 2026-01-31

### process/orders v2

#### Added
- The first.
"""


def test_the_changes_of_an_api_stand_under_its_heading() -> None:
    assert changes(TEXT)["process/orders v2"] == [
        Change("Unreleased", "Changed", "A line that goes on, with `code`."),
        Change("Unreleased", "Changed", "Another."),
        Change("1.0.0 - 2026-01-31", "Added", "The first."),
    ]


def test_every_version_of_the_shipped_policy_has_its_heading() -> None:
    told = read_changes(Path("CHANGELOG.md"))
    apis = load_gateway(SHIPPED).apis
    served = {f"{name} v{major}" for name, api in apis.items() for major in api.versions}

    assert served <= told.keys()


def test_where_there_is_no_changelog_nothing_is_told(tmp_path: Path) -> None:
    assert read_changes(tmp_path / "CHANGELOG.md") == {}


def test_markup_of_the_changelog_becomes_markup_and_all_else_stays_text() -> None:
    shown = inline("**now** `a<b>` and [more](https://example.com/?a&b) <i>")

    assert shown == (
        "<strong>now</strong> <code>a&lt;b&gt;</code> and "
        '<a href="https://example.com/?a&amp;b">more</a> &lt;i&gt;'
    )
