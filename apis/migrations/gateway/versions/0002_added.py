"""What the gateway tier has got since 0001."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    access_requests()
    audit()
    consents()
    decisions()
    field_uses()
    registered_changes()
    registered_clients()
    registered_people()
    registered_secrets()
    request_keys()
    version_extensions()
    version_states()


def access_requests() -> None:
    op.create_table(
        "access_requests",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("plan", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("decided_at", sa.Float(), nullable=True),
        sa.Column("decided_by", sa.String(length=200), nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_access_requests_client"),
        "access_requests",
        ["client"],
        unique=False,
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_access_requests_state"),
        "access_requests",
        ["state"],
        unique=False,
        schema="gateway",
    )


def audit() -> None:
    op.add_column(
        "audit", sa.Column("mark", sa.String(length=100), nullable=True), schema="gateway"
    )


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


def decisions() -> None:
    op.create_index(
        "ix_gateway_decisions_client_at",
        "decisions",
        ["client", "at"],
        unique=False,
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


def registered_changes() -> None:
    op.create_table(
        "registered_changes",
        sa.Column("of", sa.String(length=20), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("of"),
        schema="gateway",
    )


def registered_clients() -> None:
    op.create_table(
        "registered_clients",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("ends_at", sa.Float(), nullable=True),
        sa.Column("deleted_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_registered_clients_owner"),
        "registered_clients",
        ["owner"],
        unique=False,
        schema="gateway",
    )


def registered_people() -> None:
    op.create_table(
        "registered_people",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("called", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("joined_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        schema="gateway",
    )


def registered_secrets() -> None:
    op.create_table(
        "registered_secrets",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("retired_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_registered_secrets_client"),
        "registered_secrets",
        ["client"],
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


def version_extensions() -> None:
    op.create_table(
        "version_extensions",
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("target", "client"),
        schema="gateway",
    )


def version_states() -> None:
    op.create_table(
        "version_states",
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("life", sa.String(length=20), nullable=False),
        sa.Column("stable", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Date(), nullable=True),
        sa.Column("sunset", sa.Date(), nullable=True),
        sa.Column("brownouts", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("target"),
        schema="gateway",
    )
