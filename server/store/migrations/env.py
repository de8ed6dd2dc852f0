"""Alembic's entry: `server.store.schema` gives it a connection on which a transaction has begun."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
context.run_migrations()
