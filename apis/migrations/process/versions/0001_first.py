"""The first tables of the process tier."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    audit()
    backfill_deals()
    backfills()
    contracts()
    customers()
    feed_state()
    feeds()
    matches()
    outages()
    outbox()
    runs()
    steps()
    takeovers()
    unsettled_deals()
    waits()
    whose_deals()
    work_items()
    xref()


def audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.String(length=400), nullable=True),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("object", sa.String(length=100), nullable=True),
        sa.Column("key", sa.String(length=400), nullable=True),
        sa.Column("connection", sa.String(length=100), nullable=True),
        sa.Column("before_hash", sa.String(length=64), nullable=True),
        sa.Column("after_hash", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("position"),
        sa.UniqueConstraint("previous"),
        schema="process",
    )


def backfill_deals() -> None:
    op.create_table(
        "backfill_deals",
        sa.Column("backfill_id", sa.String(length=40), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("backfill_id", "external_id"),
        schema="process",
    )
    op.create_index(
        op.f("ix_process_backfill_deals_n"), "backfill_deals", ["n"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_backfill_deals_outcome"),
        "backfill_deals",
        ["outcome"],
        unique=False,
        schema="process",
    )
    op.create_index(
        op.f("ix_process_backfill_deals_run_id"),
        "backfill_deals",
        ["run_id"],
        unique=False,
        schema="process",
    )
    op.create_index(
        op.f("ix_process_backfill_deals_started_at"),
        "backfill_deals",
        ["started_at"],
        unique=False,
        schema="process",
    )


def backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("open_key", sa.String(length=200), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("won_since", sa.String(length=10), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("requester", sa.String(length=200), nullable=False),
        sa.Column("watermark", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("asked_at", sa.String(length=40), nullable=False),
        sa.Column("ended_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
        schema="process",
    )
    op.create_index(
        op.f("ix_process_backfills_asked_at"),
        "backfills",
        ["asked_at"],
        unique=False,
        schema="process",
    )
    op.create_index(
        op.f("ix_process_backfills_state"), "backfills", ["state"], unique=False, schema="process"
    )


def contracts() -> None:
    op.create_table(
        "contracts",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("deal_id", sa.String(length=26), nullable=False),
        sa.Column("customer_id", sa.String(length=26), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="process",
    )
    op.create_index(
        op.f("ix_process_contracts_customer_id"),
        "contracts",
        ["customer_id"],
        unique=False,
        schema="process",
    )
    op.create_index(
        op.f("ix_process_contracts_deal_id"),
        "contracts",
        ["deal_id"],
        unique=False,
        schema="process",
    )


def customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("match_key", sa.String(length=200), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("match_key"),
        schema="process",
    )


def feed_state() -> None:
    op.create_table(
        "feed_state",
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("object", sa.String(length=40), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.String(length=40), nullable=True),
        sa.Column("terms", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("connection", "object", "external_id"),
        schema="process",
    )


def feeds() -> None:
    op.create_table(
        "feeds",
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("object", sa.String(length=40), nullable=False),
        sa.Column("begins_at", sa.String(length=40), nullable=False),
        sa.Column("watermark", sa.String(length=40), nullable=False),
        sa.Column("swept_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("connection", "object"),
        schema="process",
    )


def matches() -> None:
    op.create_table(
        "matches",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("score", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", "connection", "external_id"),
        schema="process",
    )


def outages() -> None:
    op.create_table(
        "outages",
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("since", sa.String(length=40), nullable=False),
        sa.Column("work_item_id", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("connection"),
        schema="process",
    )


def outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        schema="process",
    )


def runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("flow", sa.String(length=80), nullable=False),
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("record", sa.String(length=120), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("open_key", sa.String(length=300), nullable=True),
        sa.Column("requester", sa.String(length=200), nullable=True),
        sa.Column("context", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("kept", sa.Text(), nullable=True),
        sa.Column("queued_at", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.String(length=40), nullable=True),
        sa.Column("ended_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
        schema="process",
    )
    op.create_index(op.f("ix_process_runs_flow"), "runs", ["flow"], unique=False, schema="process")
    op.create_index(
        op.f("ix_process_runs_record"), "runs", ["record"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_runs_state"), "runs", ["state"], unique=False, schema="process"
    )


def steps() -> None:
    op.create_table(
        "steps",
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq"),
        schema="process",
    )


def takeovers() -> None:
    op.create_table(
        "takeovers",
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "owner"),
        schema="process",
    )


def unsettled_deals() -> None:
    op.create_table(
        "unsettled_deals",
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("connection", "external_id"),
        schema="process",
    )


def waits() -> None:
    op.create_table(
        "waits",
        sa.Column("id", sa.String(length=220), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("since", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.String(length=40), nullable=True),
        sa.Column("owner", sa.String(length=80), nullable=True),
        sa.Column("work_item_id", sa.String(length=64), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="process",
    )
    op.create_index(
        op.f("ix_process_waits_due_at"), "waits", ["due_at"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_waits_run_id"), "waits", ["run_id"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_waits_state"), "waits", ["state"], unique=False, schema="process"
    )


def whose_deals() -> None:
    op.create_table(
        "whose_deals",
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=True),
        sa.Column("customer", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("connection", "external_id"),
        schema="process",
    )


def work_items() -> None:
    op.create_table(
        "work_items",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("owner", sa.String(length=80), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=True),
        sa.Column("wait_id", sa.String(length=220), nullable=True),
        sa.Column("since", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="process",
    )
    op.create_index(
        op.f("ix_process_work_items_owner"), "work_items", ["owner"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_work_items_run_id"),
        "work_items",
        ["run_id"],
        unique=False,
        schema="process",
    )
    op.create_index(
        op.f("ix_process_work_items_since"), "work_items", ["since"], unique=False, schema="process"
    )
    op.create_index(
        op.f("ix_process_work_items_state"), "work_items", ["state"], unique=False, schema="process"
    )


def xref() -> None:
    op.create_table(
        "xref",
        sa.Column("object", sa.String(length=40), nullable=False),
        sa.Column("connection", sa.String(length=80), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("valid_from", sa.String(length=40), nullable=False),
        sa.Column("valid_to", sa.String(length=40), nullable=True),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("merged_into", sa.String(length=26), nullable=True),
        sa.PrimaryKeyConstraint("object", "connection", "external_id", "valid_from"),
        schema="process",
    )
    op.create_index(op.f("ix_process_xref_id"), "xref", ["id"], unique=False, schema="process")
    op.create_index(
        "xref_now",
        "xref",
        ["object", "connection", "external_id"],
        unique=True,
        schema="process",
        sqlite_where=sa.text("valid_to is null"),
        postgresql_where=sa.text("valid_to is null"),
    )
