"""Column types that behave the same on SQLite, PostgreSQL and MySQL or MariaDB."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator

from portal.money import plain


def text_id(length: int = 255) -> String:
    """Return a column type for identifiers, compared byte by byte.

    MySQL's default collation ignores case, so that ``sub_aB`` and ``sub_Ab`` would collide.
    """
    binary = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


def long_text() -> Text:
    """Return a text type for documents: MySQL's TEXT ends at 64 KiB."""
    return Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")


def long_bytes() -> LargeBinary:
    """Return a type for binary documents: MySQL's BLOB ends at 64 KiB."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def new_uuid() -> str:
    """Return a random UUID as text, the form in which ids appear in addresses."""
    return str(uuid.uuid4())


class database_epoch(GenericFunction[int]):  # noqa: N801 - named as SQL functions are
    """Whole seconds since 1970 by the database's clock, which all machines share."""

    type = BigInteger()
    inherit_cache = True


@compiles(database_epoch)
def _epoch(_element: object, _compiler: object, **_more: object) -> str:
    return "CAST(strftime('%s', 'now') AS INTEGER)"


@compiles(database_epoch, "postgresql")
def _epoch_of_postgresql(_element: object, _compiler: object, **_more: object) -> str:
    return "CAST(floor(extract(epoch FROM clock_timestamp())) AS BIGINT)"


@compiles(database_epoch, "mysql")
@compiles(database_epoch, "mariadb")
def _epoch_of_mysql(_element: object, _compiler: object, **_more: object) -> str:
    return "UNIX_TIMESTAMP()"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment with microseconds.

    SQLite and MySQL keep no zone and MySQL drops fractions unless asked: all are hidden here.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a zone cannot be stored.")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class moment_of(GenericFunction[datetime]):  # noqa: N801 - named as SQL functions are
    """The moment of a number of milliseconds since 1970, as ``UtcDateTime`` is stored."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(moment_of)
def _moment(element: Any, compiler: Any, **more: Any) -> str:
    millis = compiler.process(element.clauses, **more)
    whole = f"strftime('%Y-%m-%d %H:%M:%S', ({millis}) / 1000, 'unixepoch')"
    return f"({whole} || printf('.%03d000', ({millis}) % 1000))"


@compiles(moment_of, "postgresql")
def _moment_of_postgresql(element: Any, compiler: Any, **more: Any) -> str:
    millis = compiler.process(element.clauses, **more)
    return f"(timestamptz 'epoch' + ({millis}) * interval '1 millisecond')"


@compiles(moment_of, "mysql")
@compiles(moment_of, "mariadb")
def _moment_of_mysql(element: Any, compiler: Any, **more: Any) -> str:
    millis = compiler.process(element.clauses, **more)
    return f"(CAST('1970-01-01' AS DATETIME(6)) + INTERVAL ({millis}) * 1000 MICROSECOND)"


class DecimalText(TypeDecorator[Decimal]):
    """An exact decimal, stored as plain text because SQLite has no exact number with decimals."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else plain(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)
