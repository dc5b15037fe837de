"""What the gateway tier has got since 0001."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    consents()
    field_uses()
    request_keys()


def consents() -> None:
    op.create_table(
        "consents",
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=200), nullable=False),
        sa.Column("agreed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("client", "target"),
        schema="gateway",
    )


def field_uses() -> None:
    op.create_table(
        "field_uses",
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("field", sa.String(length=400), nullable=False),
        sa.Column("used_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("client", "target", "operation", "field"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_field_uses_used_at"),
        "field_uses",
        ["used_at"],
        unique=False,
        schema="gateway",
    )


def request_keys() -> None:
    op.create_table(
        "request_keys",
        sa.Column("slot", sa.String(length=64), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=False),
        sa.Column("lease", sa.Float(precision=53), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("slot"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_request_keys_ends_at"),
        "request_keys",
        ["ends_at"],
        unique=False,
        schema="gateway",
    )
