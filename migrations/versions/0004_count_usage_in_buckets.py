"""Count usage in buckets instead of one row for each call, and let gateways see changes.

Calls that are stored already are put into buckets; what a batch claimed stays claimed.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import context, op

from portal.models import types

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _add_tables()
    _add_columns()
    if not context.is_offline_mode():
        _convert(op.get_bind())
    _close_columns()


def _add_tables() -> None:
    op.create_table(
        "am_gateway_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_am_gateway_revision")),
    )
    op.create_table(
        "am_usage_spool",
        sa.Column("spool_id", big_id, nullable=False),
        sa.Column("name", types.text_id(255), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("drained_at", types.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("spool_id", name=op.f("pk_am_usage_spool")),
        sa.UniqueConstraint("name", name=op.f("uq_am_usage_spool_name")),
    )
    op.create_table(
        "am_usage_segment",
        sa.Column("segment_id", big_id, nullable=False),
        sa.Column("spool_id", big_id, nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(length=10), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("records", types.long_bytes(), nullable=False),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["spool_id"], ["am_usage_spool.spool_id"], name=op.f("fk_am_usage_segment_spool_id")
        ),
        sa.PrimaryKeyConstraint("segment_id", name=op.f("pk_am_usage_segment")),
        sa.UniqueConstraint("spool_id", "offset", name=op.f("uq_am_usage_segment_spool_id_offset")),
    )
    op.create_index(
        "ix_am_usage_segment_first_at_last_at", "am_usage_segment", ["first_at", "last_at"]
    )
    op.create_index(op.f("ix_am_usage_segment_created_at"), "am_usage_segment", ["created_at"])
    _add_buckets()


def _add_buckets() -> None:
    op.create_table(
        "am_usage_bucket",
        sa.Column("bucket_id", big_id, nullable=False),
        sa.Column("digest", types.text_id(32), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.BigInteger(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False),
        sa.Column("resource", sa.String(length=255), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("key_type", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=20), nullable=False),
        sa.Column("claim", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_usage_bucket_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_bucket_tenant_id")
        ),
        sa.PrimaryKeyConstraint("bucket_id", name=op.f("pk_am_usage_bucket")),
        sa.UniqueConstraint("digest", name=op.f("uq_am_usage_bucket_digest")),
    )
    op.create_index(
        "ix_am_usage_bucket_subscription_id_starts_at",
        "am_usage_bucket",
        ["subscription_id", "starts_at"],
    )
    op.create_table(
        "am_usage_tally",
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("period_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("period_end", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("counted", sa.BigInteger(), nullable=False),
        sa.Column("claimed", sa.BigInteger(), nullable=False),
        sa.Column("batches", sa.Integer(), nullable=False),
        sa.Column("open_since", sa.BigInteger(), nullable=True),
        sa.Column("open_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_usage_tally_subscription_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["am_tenant.tenant_id"], name=op.f("fk_am_usage_tally_tenant_id")
        ),
        sa.PrimaryKeyConstraint("subscription_id", "period_start", name=op.f("pk_am_usage_tally")),
    )
    op.create_index("ix_am_usage_tally_open", "am_usage_tally", ["tenant_id", "open_since"])


def _add_columns() -> None:
    with op.batch_alter_table("am_subscription", schema=None) as batch:
        batch.add_column(
            sa.Column("changed_at", sa.BigInteger(), nullable=False, server_default="0")
        )
        batch.create_index(batch.f("ix_am_subscription_changed_at"), ["changed_at"])
    with op.batch_alter_table("am_usage_batch", schema=None) as batch:
        for name in ("period_start", "first", "closes_at"):
            batch.add_column(sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("late", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("stamp", types.UtcDateTime(), nullable=True))
    with op.batch_alter_table("am_usage_event", schema=None) as batch:
        batch.add_column(
            sa.Column("source", types.text_id(128), nullable=False, server_default="gateway")
        )
        batch.add_column(sa.Column("received_at", types.UtcDateTime(), nullable=True))


def _close_columns() -> None:
    with op.batch_alter_table("am_subscription", schema=None) as batch:
        batch.alter_column(
            "changed_at",
            existing_type=sa.BigInteger(),
            existing_nullable=False,
            server_default=None,
        )
    with op.batch_alter_table("am_usage_batch", schema=None) as batch:
        for name in ("period_start", "first", "closes_at"):
            batch.alter_column(
                name, existing_type=sa.BigInteger(), existing_nullable=False, server_default=None
            )
        batch.alter_column(
            "late", existing_type=sa.Boolean(), existing_nullable=False, server_default=None
        )
        batch.alter_column("stamp", existing_type=types.UtcDateTime(), nullable=False)
        batch.create_unique_constraint(
            batch.f("uq_am_usage_batch_subscription_id_period_start_first"),
            ["subscription_id", "period_start", "first"],
        )
    with op.batch_alter_table("am_usage_event", schema=None) as batch:
        batch.create_index(batch.f("ix_am_usage_event_subscription_id"), ["subscription_id"])
        batch.create_index(batch.f("ix_am_usage_event_received_at"), ["received_at"])
        batch.drop_index("ix_am_usage_event_unclaimed")
        batch.drop_constraint(batch.f("uq_am_usage_event_event_id"), type_="unique")
        batch.drop_constraint(batch.f("fk_am_usage_event_batch_id"), type_="foreignkey")
        batch.drop_column("batch_id")
        batch.alter_column(
            "event_id",
            existing_type=types.text_id(255),
            type_=types.text_id(128),
            existing_nullable=False,
        )
        batch.alter_column(
            "source",
            existing_type=types.text_id(128),
            existing_nullable=False,
            server_default=None,
        )
        batch.alter_column("received_at", existing_type=types.UtcDateTime(), nullable=False)
        batch.create_unique_constraint(
            batch.f("uq_am_usage_event_source_event_id"), ["source", "event_id"]
        )


# --- what is stored already -------------------------------------------------------------------


def _convert(connection: sa.Connection) -> None:
    meta = sa.MetaData()
    names = ("subscription", "usage_event", "usage_batch", "usage_bucket", "usage_tally")
    tables = {name: sa.Table(f"am_{name}", meta, autoload_with=connection) for name in names}
    for name, columns in (
        ("usage_event", ("at", "received_at")),
        ("usage_batch", ("last_at", "stamp")),
        ("subscription", ("period_start", "period_end")),
    ):
        for column in columns:
            tables[name].c[column].type = types.UtcDateTime()
    event, batch = tables["usage_event"], tables["usage_batch"]
    connection.execute(sa.update(event).values(received_at=event.c.at))
    connection.execute(sa.update(batch).values(stamp=batch.c.last_at))
    firsts = _number_batches(connection, batch)
    _fill_buckets(connection, tables, firsts)
    connection.execute(
        sa.insert(sa.table("am_gateway_revision", sa.column("id"), sa.column("number"))).values(
            id=1, number=0
        )
    )


def _number_batches(connection: sa.Connection, batch: sa.Table) -> dict[int, int]:
    """Lay each subscription's batches one behind the other; return where each begins."""
    total: Counter[int] = Counter()
    firsts: dict[int, int] = {}
    query = sa.select(batch.c.batch_id, batch.c.subscription_id, batch.c.quantity)
    for row in connection.execute(query.order_by(batch.c.batch_id)).all():
        firsts[row.batch_id] = total[row.subscription_id]
        total[row.subscription_id] += row.quantity
        connection.execute(
            sa.update(batch)
            .where(batch.c.batch_id == row.batch_id)
            .values(first=firsts[row.batch_id])
        )
    return firsts


def _fill_buckets(
    connection: sa.Connection, tables: dict[str, sa.Table], firsts: dict[int, int]
) -> None:
    event, subscription = tables["usage_event"], tables["subscription"]
    calls: Counter[tuple[Any, ...]] = Counter()
    claimed: Counter[int] = Counter()
    for row in tables_sum(connection, tables["usage_batch"]):
        claimed[row.subscription_id] = row.quantity
    waiting: dict[tuple[int, int, int], list[datetime]] = {}
    query = sa.select(event, subscription.c.period_start, subscription.c.period_end).join(
        subscription, subscription.c.subscription_id == event.c.subscription_id
    )
    for row in connection.execute(query):
        start, end = _period(row)
        hour = max(int(row.at.timestamp()) // 3600 * 3600, start)
        claim = -1
        if row.batch_id is not None:
            start, claim = 0, firsts[row.batch_id]
        elif row.counted:
            waiting.setdefault((row.subscription_id, start, end), []).append(row.at)
            claim = 0 if start else claimed[row.subscription_id]
        alike = (row.method, row.resource, row.status, row.key_type, _reason(row), claim)
        calls[(row.tenant_id, row.subscription_id, start, hour, *alike)] += 1
    _insert(connection, tables, calls, claimed, waiting)


def tables_sum(connection: sa.Connection, batch: sa.Table) -> Any:
    """Return how many calls each subscription has in batches."""
    query = sa.select(batch.c.subscription_id, sa.func.sum(batch.c.quantity).label("quantity"))
    return connection.execute(query.group_by(batch.c.subscription_id)).all()


def _period(row: Any) -> tuple[int, int]:
    start, end = row.period_start, row.period_end
    if start is None or end is None or not start <= row.at < end:
        return 0, 0
    return int(start.timestamp()), int(end.timestamp())


def _reason(row: Any) -> str:
    if row.counted:
        return ""
    return "SANDBOX" if row.key_type == "SANDBOX" else "FAILED"


def _insert(
    connection: sa.Connection,
    tables: dict[str, sa.Table],
    calls: Counter[tuple[Any, ...]],
    claimed: Counter[int],
    waiting: dict[tuple[int, int, int], list[datetime]],
) -> None:
    names = ("tenant_id", "subscription_id", "period_start", "starts_at", "method", "resource")
    names += ("status", "key_type", "reason", "claim")
    rows = [
        dict(zip(names, key, strict=True)) | {"calls": n, "bytes": 0, "digest": f"0004-{index}"}
        for index, (key, n) in enumerate(calls.items())
    ]
    if rows:
        connection.execute(sa.insert(tables["usage_bucket"]), rows)
    tenants = {key[1]: key[0] for key in calls}
    keys = dict.fromkeys([(sub, 0, 0) for sub in claimed] + list(waiting))
    tallies = [
        {
            "subscription_id": sub,
            "period_start": start,
            "period_end": end,
            "tenant_id": tenants[sub],
            "claimed": 0 if start else claimed[sub],
            "counted": (0 if start else claimed[sub]) + len(waiting.get((sub, start, end), ())),
            "batches": 0,
            "open_since": _millis(min(waiting[sub, start, end], default=None))
            if (sub, start, end) in waiting
            else None,
            "open_until": _millis(max(waiting[sub, start, end], default=None))
            if (sub, start, end) in waiting
            else None,
        }
        for sub, start, end in keys
        if sub in tenants
    ]
    if tallies:
        connection.execute(sa.insert(tables["usage_tally"]), tallies)


def _millis(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.astimezone(UTC).timestamp() * 1000)


def downgrade() -> None:
    """Go back to rows for each call. Calls that are only in buckets are not kept."""
    with op.batch_alter_table("am_usage_event", schema=None) as batch:
        batch.drop_constraint(batch.f("uq_am_usage_event_source_event_id"), type_="unique")
        batch.drop_index(batch.f("ix_am_usage_event_received_at"))
        batch.add_column(sa.Column("batch_id", big_id, nullable=True))
        batch.create_foreign_key(
            batch.f("fk_am_usage_event_batch_id"), "am_usage_batch", ["batch_id"], ["batch_id"]
        )
        batch.create_unique_constraint(batch.f("uq_am_usage_event_event_id"), ["event_id"])
        batch.create_index(
            "ix_am_usage_event_unclaimed", ["subscription_id", "batch_id", "counted", "at"]
        )
        batch.drop_index(batch.f("ix_am_usage_event_subscription_id"))
        batch.drop_column("received_at")
        batch.drop_column("source")
    with op.batch_alter_table("am_usage_batch", schema=None) as batch:
        batch.drop_constraint(
            batch.f("uq_am_usage_batch_subscription_id_period_start_first"), type_="unique"
        )
        for name in ("stamp", "late", "closes_at", "first", "period_start"):
            batch.drop_column(name)
    with op.batch_alter_table("am_subscription", schema=None) as batch:
        batch.drop_index(batch.f("ix_am_subscription_changed_at"))
        batch.drop_column("changed_at")
    for table in ("tally", "bucket", "segment", "spool"):
        op.drop_table(f"am_usage_{table}")
    op.drop_table("am_gateway_revision")
