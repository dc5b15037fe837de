"""The first tables of the experience tier."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    audit()
    happenings()
    journeys()
    names()
    outbox()
    projects()
    records()
    runs()
    steps()
    work_items()


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
        schema="experience",
    )


def happenings() -> None:
    op.create_table(
        "happenings",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_happenings_subject"),
        "happenings",
        ["subject"],
        unique=False,
        schema="experience",
    )


def journeys() -> None:
    op.create_table(
        "journeys",
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.Column("system", sa.String(length=80), nullable=False),
        sa.Column("record", sa.String(length=120), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=True),
        sa.Column("customer", sa.String(length=26), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("amount", sa.String(length=40), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("began_at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_journeys_customer"),
        "journeys",
        ["customer"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_journeys_entity"),
        "journeys",
        ["entity"],
        unique=False,
        schema="experience",
    )


def names() -> None:
    op.create_table(
        "names",
        sa.Column("name", sa.String(length=220), nullable=False),
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.PrimaryKeyConstraint("name", "subject"),
        schema="experience",
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
        schema="experience",
    )


def projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=True),
        sa.Column("key", sa.String(length=80), nullable=True),
        sa.Column("entity", sa.String(length=40), nullable=True),
        sa.Column("customer", sa.String(length=26), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("activated_at", sa.String(length=40), nullable=False),
        sa.Column("changed_at", sa.String(length=40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("records", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_projects_activated_at"),
        "projects",
        ["activated_at"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_projects_customer"),
        "projects",
        ["customer"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_projects_entity"),
        "projects",
        ["entity"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_projects_key"), "projects", ["key"], unique=False, schema="experience"
    )
    op.create_index(
        op.f("ix_experience_projects_run_id"),
        "projects",
        ["run_id"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_projects_state"),
        "projects",
        ["state"],
        unique=False,
        schema="experience",
    )


def records() -> None:
    op.create_table(
        "records",
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.Column("system", sa.String(length=80), nullable=False),
        sa.Column("object", sa.String(length=80), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=True),
        sa.Column("key", sa.String(length=80), nullable=True),
        sa.Column("amount", sa.String(length=40), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=True),
        sa.Column("at", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("subject", "system", "object", "external_id"),
        schema="experience",
    )


def runs() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=220), nullable=False),
        sa.Column("flow", sa.String(length=80), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("since", sa.String(length=40), nullable=False),
        sa.Column("began_at", sa.String(length=40), nullable=False),
        sa.Column("ended_at", sa.String(length=40), nullable=True),
        sa.Column("requester", sa.String(length=200), nullable=True),
        sa.Column("waiting", sa.Text(), nullable=True),
        sa.Column("kept", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_runs_subject"), "runs", ["subject"], unique=False, schema="experience"
    )


def steps() -> None:
    op.create_table(
        "steps",
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq"),
        schema="experience",
    )


def work_items() -> None:
    op.create_table(
        "work_items",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=True),
        sa.Column("entity", sa.String(length=40), nullable=True),
        sa.Column("customer", sa.String(length=26), nullable=True),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_work_items_customer"),
        "work_items",
        ["customer"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_work_items_entity"),
        "work_items",
        ["entity"],
        unique=False,
        schema="experience",
    )
    op.create_index(
        op.f("ix_experience_work_items_run_id"),
        "work_items",
        ["run_id"],
        unique=False,
        schema="experience",
    )
