"""What the system tier has got since 0001."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    audit()
    restores()


def audit() -> None:
    op.add_column("audit", sa.Column("mark", sa.String(length=100), nullable=True), schema="system")


def restores() -> None:
    op.create_table(
        "restores",
        sa.Column("restored_at", sa.String(length=40), nullable=False),
        sa.Column("taken_at", sa.String(length=40), nullable=False),
        sa.Column("ended_at", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("restored_at"),
        schema="system",
    )
