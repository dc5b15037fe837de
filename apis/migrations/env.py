"""How Alembic runs one tier's scripts: on the connection `apis.runtime.migrations` gives it."""
# ruff: noqa: INP001 - Alembic loads it by its path

from __future__ import annotations

from alembic import context

tier = context.config.attributes["tier"]
connection = context.config.attributes["connection"]
sqlite = connection.dialect.name == "sqlite"
context.configure(
    connection=connection,
    version_table=f"{tier}_alembic_version" if sqlite else "alembic_version",
    version_table_schema=None if sqlite else tier,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
