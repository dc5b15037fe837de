"""What exists twice at the vendors: no business key of ours may be on two records of a kind."""

from __future__ import annotations

from collections import Counter

from tests.firm import Firm


def keys(firm: Firm) -> Counter[str]:
    """Every business key of ours at PSA and ERP, with how many records carry it."""
    state = firm.kantata.state()
    names = {each["id"]: each["service_model_ref"] for each in state["external_references"]}
    found: Counter[str] = Counter()
    for kind, records in state.items():
        for record in records:
            for reference in record.get("external_reference_ids", ()):
                found[f"kantata {kind} {names[reference]}"] += 1
    for kind, records in firm.netsuite.state().items():
        for record in records:
            if record.get("externalId"):
                found[f"netsuite {kind} {record['externalId']}"] += 1
    return found


def projects(firm: Firm) -> tuple[int, int]:
    """How many projects of ours PSA and ERP have."""
    found = keys(firm)
    return (
        sum(key.startswith("kantata workspaces project-") for key in found),
        sum(key.startswith("netsuite job project-") for key in found),
    )


def doubled(firm: Firm) -> dict[str, int]:
    """The keys that more than one record of a system carries."""
    return {key: count for key, count in keys(firm).items() if count > 1}
