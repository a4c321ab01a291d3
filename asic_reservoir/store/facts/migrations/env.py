"""Run by Alembic: migrates the connection that :mod:`asic_reservoir.store.facts.migrate` hands over."""

from alembic import context

from asic_reservoir.store.facts.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters a table by rebuilding it
    render_as_batch=True,
)
context.run_migrations()
