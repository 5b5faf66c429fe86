"""Alembic's environment: the connection comes from `app.storage.migrate`, there is no configuration file to edit.

To make a migration: `make migration m="what it does"`.
"""

import os

from sqlalchemy import Connection, create_engine, pool

from alembic import context
from app.storage.models import Table
from app.storage.types import UtcDateTime


def render_item(kind, item, _context):
    """Migrations name no type of the code's: they must stay what they were."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:  # `alembic` on the command line, to make a migration
    engine = create_engine(os.environ["ALEMBIC_URL"], poolclass=pool.NullPool)
    with engine.begin() as connection:
        run(connection)
