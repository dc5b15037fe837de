"""What the gateway tier has got since 0001."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    request_keys()


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
