"""The first tables of the gateway tier."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    access_requests()
    api_keys()
    audit()
    codes()
    credential_uses()
    decision_counts()
    decisions()
    grants()
    jti()
    outbox()
    refresh_tokens()
    registered_changes()
    registered_clients()
    registered_people()
    registered_secrets()
    revocations()
    sessions()


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


def api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
        schema="gateway",
    )


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
        schema="gateway",
    )


def codes() -> None:
    op.create_table(
        "codes",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=32), nullable=False),
        sa.Column("redirect_uri", sa.Text(), nullable=False),
        sa.Column("challenge", sa.String(length=43), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_codes_expires_at"), "codes", ["expires_at"], unique=False, schema="gateway"
    )


def credential_uses() -> None:
    op.create_table(
        "credential_uses",
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("credential", sa.String(length=500), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("client", "credential"),
        schema="gateway",
    )


def decision_counts() -> None:
    op.create_table(
        "decision_counts",
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=False),
        sa.Column("operation", sa.String(length=200), nullable=False),
        sa.Column("policy", sa.String(length=40), nullable=False),
        sa.Column("rule", sa.String(length=200), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "day", "client", "target", "operation", "policy", "rule", "outcome"
        ),
        schema="gateway",
    )


def decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column(
            "seq",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("ms", sa.Float(), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=True),
        sa.Column("target", sa.String(length=200), nullable=True),
        sa.Column("operation", sa.String(length=200), nullable=True),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=True),
        sa.Column("decided", sa.Text(), nullable=False),
        sa.Column("limits", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_decisions_at"), "decisions", ["at"], unique=False, schema="gateway"
    )
    op.create_index(
        "ix_gateway_decisions_client_at",
        "decisions",
        ["client", "at"],
        unique=False,
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_decisions_request_id"),
        "decisions",
        ["request_id"],
        unique=False,
        schema="gateway",
    )


def grants() -> None:
    op.create_table(
        "grants",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("client", sa.String(length=200), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_grants_expires_at"),
        "grants",
        ["expires_at"],
        unique=False,
        schema="gateway",
    )


def jti() -> None:
    op.create_table(
        "jti",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_jti_expires_at"), "jti", ["expires_at"], unique=False, schema="gateway"
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
        schema="gateway",
    )


def refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("grant_id", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_refresh_tokens_expires_at"),
        "refresh_tokens",
        ["expires_at"],
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


def revocations() -> None:
    op.create_table(
        "revocations",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("name"),
        schema="gateway",
        sqlite_autoincrement=True,
    )
    op.create_index(
        op.f("ix_gateway_revocations_expires_at"),
        "revocations",
        ["expires_at"],
        unique=False,
        schema="gateway",
    )


def sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("person", sa.String(length=200), nullable=False),
        sa.Column("password", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        schema="gateway",
    )
    op.create_index(
        op.f("ix_gateway_sessions_expires_at"),
        "sessions",
        ["expires_at"],
        unique=False,
        schema="gateway",
    )
