"""Older records still read, older clients still served."""

from copy import deepcopy

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.deal import Deal, DealFile
from contracts.errors import ThroughlineError
from contracts.versions import CONVERTERS, CURRENT, current, lift, lower

NAMES = st.text(max_size=8)
OLD_LINES = st.fixed_dictionaries({}, optional={"external_id": NAMES, "name": NAMES})
OLD_DEALS = st.fixed_dictionaries(
    {"state": st.sampled_from(["open", "won", "lost"]), "lines": st.lists(OLD_LINES, max_size=6)},
    optional={"external_id": NAMES, "name": NAMES},
)


@given(OLD_DEALS)
def test_an_old_deal_lifted_and_lowered_is_the_same_deal(old):
    before = deepcopy(old)
    assert lower("deal", "1.0", lift("deal", "1.0", old)) == old
    assert old == before


@given(OLD_DEALS, st.randoms())
def test_a_new_deal_lowered_and_lifted_keeps_what_its_lines_say(old, chance):
    new = lift("deal", "1.0", old)
    shuffled = {**new, "lines": chance.sample(new["lines"], len(new["lines"]))}
    assert lift("deal", "1.0", lower("deal", "1.0", shuffled)) == new


@given(OLD_DEALS)
def test_a_lifted_deal_is_a_deal_of_today(old):
    deal = msgspec.convert(lift("deal", "1.0", old), Deal)
    assert [line.position for line in deal.lines] == list(range(1, len(deal.lines) + 1))


@given(OLD_DEALS)
def test_the_deal_inside_a_file_and_a_page_is_lifted_with_it(old):
    file = lift("deal-file", "1.0", {"deal": old})
    page = lift("deal-page", "1.0", {"items": [old], "next": "c2"})
    assert msgspec.convert(file, DealFile).deal == msgspec.convert(page["items"][0], Deal)
    assert lower("deal-file", "1.0", file) == {"deal": old}
    assert lower("deal-page", "1.0", page) == {"items": [old], "next": "c2"}


def test_lines_without_a_position_stay_behind_those_with_one():
    lines = [{"name": "?"}, {"name": "b", "position": 2}, {"name": "a", "position": 1}]
    lowered = lower("deal", "1.0", {"state": "won", "lines": lines})
    assert [line["name"] for line in lowered["lines"]] == ["a", "b", "?"]


def test_a_record_of_today_is_left_alone():
    record = {"anything": 1}
    assert lift("invoice", current("invoice"), record) is record


@pytest.mark.parametrize(("contract", "version"), [("deal", "0.9"), ("deal", "9.0"), ("x", "2.0")])
def test_a_version_nobody_can_read_is_a_defect_and_says_so(contract, version):
    with pytest.raises(ThroughlineError) as defect:
        lift(contract, version, {})
    assert defect.value.code == "contract.version-unknown"


def test_converters_come_in_pairs():
    assert {(name, end, start) for name, start, end in CONVERTERS} == set(CONVERTERS)
    assert {name for name, _, _ in CONVERTERS} == set(CURRENT)
