"""How Alembic reaches the portal's database and tables."""

from typing import Any

from alembic import context
from flask import current_app
from sqlalchemy import Connection
from sqlalchemy.types import TypeEngine

db = current_app.extensions["migrate"].db
config = context.config
config.set_main_option(
    "sqlalchemy.url", db.engine.url.render_as_string(hide_password=False).replace("%", "%%")
)


def render_item(kind: str, item: Any, autogen: Any) -> str | bool:
    """Write the portal's own column types by name."""
    if kind == "type" and isinstance(item, TypeEngine):
        if type(item).__module__ == "portal.models.types":
            autogen.imports.add("from portal.models import types")
            return f"types.{type(item).__name__}()"
        if item._variant_mapping:  # noqa: SLF001 - Alembic repeats every dialect in full
            return _by_helper(item, autogen)
    return False


def _by_helper(item: Any, autogen: Any) -> str | bool:
    from sqlalchemy import BigInteger, String, Text

    if isinstance(item, Text):
        autogen.imports.add("from portal.models import types")
        return "types.long_text()"
    if isinstance(item, String):
        autogen.imports.add("from portal.models import types")
        return f"types.text_id({item.length})"
    if isinstance(item, BigInteger):
        return 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")'
    return False


OPTIONS: dict[str, Any] = {
    "target_metadata": db.metadata,
    "render_as_batch": True,
    "render_item": render_item,
    "compare_server_default": False,
}


def offline() -> None:
    """Print the SQL instead of running it."""
    url = config.get_main_option("sqlalchemy.url")
    context.configure(url=url, literal_binds=True, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


def online() -> None:
    """Run the migrations.

    SQLite changes a table by copying it. With foreign keys enforced, dropping the old copy would
    delete its children by cascade, so they are checked afterwards instead.
    """
    with db.engine.connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        if is_sqlite:
            _pragma(connection, "foreign_keys=OFF")
        context.configure(connection=connection, **OPTIONS)
        with context.begin_transaction():
            context.run_migrations()
        if is_sqlite:
            _check_foreign_keys(connection)
            _pragma(connection, "foreign_keys=ON")


def _pragma(connection: Connection, what: str) -> None:
    """Set a pragma outside any transaction: inside one, SQLite ignores it."""
    raw = connection.connection.driver_connection
    raw.execute(f"PRAGMA {what}")


def _check_foreign_keys(connection: Connection) -> None:
    raw = connection.connection.driver_connection
    broken = raw.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"The migration left rows without their parents: {broken[:5]}")


if context.is_offline_mode():
    offline()
else:
    online()
