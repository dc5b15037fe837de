"""The first tables of the runtime tier."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    cursors()
    engine()
    event_log()
    inbox()
    leases()
    requests()


def cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("reader", sa.String(length=80), nullable=False),
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.PrimaryKeyConstraint("reader"),
        schema="runtime",
    )


def engine() -> None:
    op.create_table(
        "engine",
        sa.Column("has", sa.String(length=120), nullable=False),
        sa.PrimaryKeyConstraint("has"),
        schema="runtime",
    )


def event_log() -> None:
    op.create_table(
        "event_log",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tier", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        schema="runtime",
    )
    op.create_index(
        op.f("ix_runtime_event_log_key"), "event_log", ["key"], unique=False, schema="runtime"
    )
    op.create_index(
        op.f("ix_runtime_event_log_type"), "event_log", ["type"], unique=False, schema="runtime"
    )


def inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("reader", sa.String(length=80), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("reader", "id"),
        schema="runtime",
    )


def leases() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema="runtime",
    )


def requests() -> None:
    op.create_table(
        "requests",
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        schema="runtime",
    )
    op.create_index(
        op.f("ix_runtime_requests_at"), "requests", ["at"], unique=False, schema="runtime"
    )
