"""Objects of the sandbox tenant: what may be written, what is asked by, what comes beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.canonical.money import DECIMALS


class Beside(NamedTuple):
    """An association: its ids appear on a record, and its records in the answer, if included."""

    key: str
    kind: str

    @property
    def many(self) -> bool:
        """Whether the record has a list of ids."""
        return self.key.endswith("_ids")


@dataclass(frozen=True)
class Kind:
    """One object of the API."""

    name: str
    one: str
    model: str
    create: frozenset[str] = frozenset()
    update: frozenset[str] = frozenset()
    beside: dict[str, Beside] = field(default_factory=dict)
    title: str = "title"
    order: str = "updated_at:desc"
    most: int = 1
    """How many one call may create."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


REFERENCES = Beside("external_reference_ids", "external_references")
VALUES = Beside("custom_field_value_ids", "custom_field_values")
WORKSPACE = Beside("workspace_id", "workspaces")
WORKSPACE_FIELDS = _words(
    """title description currency price budgeted start_date due_date status_key access_level
    consultant_role_name client_role_name rate_card_id target_margin
    stories_are_fixed_fee_by_default tasks_default_non_billable
    workspace_group_ids primary_workspace_group_id external_link project_tracker_template_id
    invoice_preference stage time_trackable external_reference"""
)
STORY_FIELDS = _words(
    """title description story_type parent_id start_date due_date billable fixed_fee archived
    budget_estimate_in_cents time_estimate_in_minutes state status percentage_complete priority
    tag_list weight time_trackable external_reference"""
)
MILESTONE_FIELDS = _words(
    "title date_to_invoice amount_in_cents billing_type story_id external_reference"
)
GROUP_FIELDS = _words(
    """name company contact_name email phone_number address website notes add_workspace_ids
    external_reference"""
)

DECLARED = (
    Kind(
        "workspaces",
        "workspace",
        "Workspace",
        WORKSPACE_FIELDS
        | _words(
            """creator_role custom_fields participations require_time_approvals
            require_expense_approvals"""
        ),
        WORKSPACE_FIELDS | {"archived"},
        {
            "external_references": REFERENCES,
            "custom_field_values": VALUES,
            "primary_workspace_group": Beside("primary_workspace_group_id", "workspace_groups"),
            "workspace_groups": Beside("workspace_group_ids", "workspace_groups"),
            "workspace_resources_with_unnamed": Beside(
                "workspace_resources_with_unnamed_ids", "workspace_resources"
            ),
            "billing_milestones": Beside("billing_milestone_ids", "billing_milestones"),
            "creator": Beside("creator_id", "users"),
        },
        most=100,
    ),
    Kind(
        "workspace_groups",
        "workspace_group",
        "WorkspaceGroup",
        GROUP_FIELDS,
        GROUP_FIELDS | {"remove_workspace_ids"},
        {"external_references": REFERENCES, "workspaces": Beside("workspace_ids", "workspaces")},
        title="name",
        order="name:asc",
    ),
    Kind(
        "stories",
        "story",
        "Story",
        STORY_FIELDS | {"workspace_id"},
        STORY_FIELDS,
        {
            "external_references": REFERENCES,
            "workspace": WORKSPACE,
            "parent": Beside("parent_id", "stories"),
            "sub_stories": Beside("sub_story_ids", "stories"),
        },
        most=300,
    ),
    Kind(
        "billing_milestones",
        "billing_milestone",
        "BillingMilestone",
        MILESTONE_FIELDS | {"workspace_id"},
        MILESTONE_FIELDS,
        {
            "external_references": REFERENCES,
            "workspace": WORKSPACE,
            "story": Beside("story_id", "stories"),
            "invoices": Beside("invoice_ids", "invoices"),
        },
        order="created_at:desc",
        most=100,
    ),
    Kind(
        "workspace_resources",
        "workspace_resource",
        "WorkspaceResource",
        _words("workspace_id user_id role_id external_reference"),
        _words("label user_id role_id cost_rate bill_rate external_reference"),
        {
            "external_references": REFERENCES,
            "workspace": WORKSPACE,
            "user": Beside("user_id", "users"),
            "role": Beside("role_id", "roles"),
        },
        title="label",
        most=200,
    ),
    Kind(
        "roles",
        "role",
        "Role",
        _words("name external_reference"),
        _words("name external_reference"),
        {"external_references": REFERENCES},
        title="name",
    ),
    Kind("users", "user", "User", title="full_name"),
    Kind("rate_card_sets", "rate_card_set", "RateCardSet"),
    Kind(
        "rate_cards",
        "rate_card",
        "RateCard",
        beside={"rate_card_set": Beside("rate_card_set_id", "rate_card_sets")},
        title="currency",
    ),
    Kind("custom_fields", "custom_field", "CustomField", title="name"),
    Kind("custom_field_values", "custom_field_value", "CustomFieldValue", title="value"),
    Kind(
        "external_references",
        "external_reference",
        "ExternalReference",
        _words(
            """service_name service_model service_model_ref subject_id subject_type status
            external_link external_message external_status locked"""
        ),
        title="service_model_ref",
    ),
)
KINDS = {kind.name: kind for kind in DECLARED}
BY_MODEL = {kind.model: kind for kind in DECLARED}
NEVER_SHOWN = frozenset({"creator_role", "invoice_preference", "project_tracker_template_id"})
"""What may be sent for a workspace and is not in its answers."""
UNDATED = {"workspace_groups", "roles", "users", "rate_cards", "rate_card_sets"}
STORY_TYPES = ("task", "deliverable", "milestone", "issue")
STORY_STATES = ("not started", "started", "needs info", "completed")


def base_units(currency: str) -> int:
    """Subunits in one of a currency; two decimals where it is unknown."""
    return int(10 ** DECIMALS.get(currency, 2))
