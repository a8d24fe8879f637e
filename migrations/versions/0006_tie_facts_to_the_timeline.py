"""No fact of a subscription without the line of the timeline that states it.

The facts and the number of the newest line become a foreign key to the timeline, whose lines
carry the facts as columns instead of JSON. A line is stored before the subscription says so, and
a subscription after its first line, because MySQL and MariaDB check foreign keys at once; so the
timeline names its subscription by UUID and refers to no row. Each subscription that is there gets
a line with the facts as they stand.

Revision ID: 0006
Revises: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from portal.models import types

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMELINE = "am_subscription_timeline"
KEPT = "am_subscription_timeline_kept"
WORDS = ("billing", "publisher_block", "approval")
#: Each flag, and the column that was it until now.
FLAGS = {"plan_change_pending": "pending_policy_version_id", "end_requested": "end_requested_at"}
FACTS = (*WORDS, *FLAGS)
SAME = ("at", "move", "status_before", "status_after", "because", "actor", "stripe_event_id")
FOREIGN_KEY = "fk_am_subscription_facts"

kept = sa.table(
    KEPT,
    sa.column("entry_id"),
    sa.column("subscription_id"),
    sa.column("facts_after", sa.JSON()),
    *(sa.column(name) for name in SAME),
)
lines = sa.table(
    TIMELINE,
    *(sa.column(name) for name in ("subscription_uuid", "line", *SAME, *FACTS)),
)
subscriptions = sa.table(
    "am_subscription",
    *(sa.column(name) for name in ("subscription_id", "uuid", "line", *FACTS, *FLAGS.values())),
)


def upgrade() -> None:
    """Number the lines, give them the facts as columns, and tie the subscriptions to them."""
    _keep("ix_am_subscription_timeline_subscription_id")
    _create_timeline()
    _fill_from_json()
    op.drop_table(KEPT)
    with _altering(_columns()) as batch:
        for name in WORDS:
            batch.alter_column(
                name,
                existing_type=sa.String(20),
                type_=types.text_id(20),
                existing_nullable=False,
            )
        batch.add_column(sa.Column("line", sa.Integer(), nullable=False, server_default="0"))
        for name in FLAGS:
            batch.add_column(_flag(name, server_default=sa.false()))
    _state_the_present()
    with _altering([*_columns(types.text_id(20)), *_added(with_defaults=True)]) as batch:
        for name, kind in {"line": sa.Integer(), **dict.fromkeys(FLAGS, sa.Boolean())}.items():
            batch.alter_column(
                name, existing_type=kind, existing_nullable=False, server_default=None
            )
        batch.create_foreign_key(
            FOREIGN_KEY, TIMELINE, ["uuid", "line", *FACTS], ["subscription_uuid", "line", *FACTS]
        )


def downgrade() -> None:
    """Untie them. The history keeps its words and loses the facts in each line."""
    tie = sa.ForeignKeyConstraint(
        ["uuid", "line", *FACTS],
        [f"{TIMELINE}.{name}" for name in ("subscription_uuid", "line", *FACTS)],
        name=FOREIGN_KEY,
    )
    with _altering([*_columns(types.text_id(20)), *_added(), tie]) as batch:
        batch.drop_constraint(FOREIGN_KEY, type_="foreignkey")
    if op.get_context().dialect.name == "mysql":
        op.drop_index(FOREIGN_KEY, "am_subscription")
    with _altering([*_columns(types.text_id(20)), *_added()]) as batch:
        for name in (*FLAGS, "line"):
            batch.drop_column(name)
        for name in WORDS:
            batch.alter_column(
                name,
                existing_type=types.text_id(20),
                type_=sa.String(20),
                existing_nullable=False,
            )
    _keep()
    _create_old_timeline()
    source = sa.table(
        KEPT,
        *(sa.column(name) for name in ("entry_id", "subscription_uuid", *SAME)),
    )
    old = sa.table(
        TIMELINE,
        *(sa.column(name) for name in ("subscription_id", *SAME)),
        sa.column("facts_after", sa.JSON()),
    )
    names = ("subscription_id", "facts_after", *SAME)
    query = sa.select(
        subscriptions.c.subscription_id,
        sa.literal({}, sa.JSON()),
        *(source.c[name] for name in SAME),
    ).join_from(source, subscriptions, subscriptions.c.uuid == source.c.subscription_uuid)
    op.execute(old.insert().from_select(names, query.order_by(source.c.entry_id)))
    op.drop_table(KEPT)


def _keep(*indexes: str) -> None:
    """Set the timeline aside, without its keys, whose names the new one takes."""
    op.execute(f"CREATE TABLE {KEPT} AS SELECT * FROM {TIMELINE}")  # noqa: S608
    for index in indexes:
        if op.get_context().dialect.name != "mysql":
            op.drop_index(index, TIMELINE)
    op.drop_table(TIMELINE)


def _create_timeline() -> None:
    op.create_table(
        TIMELINE,
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("subscription_uuid", types.text_id(36), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        *_happened(),
        *(sa.Column(name, types.text_id(20), nullable=False) for name in WORDS),
        *(sa.Column(name, sa.Boolean(), nullable=False) for name in FLAGS),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_am_subscription_timeline")),
        sa.UniqueConstraint(
            "subscription_uuid",
            "line",
            name=op.f("uq_am_subscription_timeline_subscription_uuid_line"),
        ),
        sa.UniqueConstraint(
            "subscription_uuid", "line", *FACTS, name="uq_am_subscription_timeline_facts"
        ),
    )


def _create_old_timeline() -> None:
    op.create_table(
        TIMELINE,
        sa.Column("entry_id", sa.Integer(), nullable=False),
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        *_happened(),
        sa.Column("facts_after", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["am_subscription.subscription_id"],
            name=op.f("fk_am_subscription_timeline_subscription_id"),
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_am_subscription_timeline")),
    )
    op.create_index("ix_am_subscription_timeline_subscription_id", TIMELINE, ["subscription_id"])


def _happened() -> list[Any]:
    return [
        sa.Column("at", types.UtcDateTime(), nullable=False),
        sa.Column("move", sa.String(length=40), nullable=False),
        sa.Column("status_before", sa.String(length=30), nullable=True),
        sa.Column("status_after", sa.String(length=30), nullable=False),
        sa.Column("because", sa.String(length=1024), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("stripe_event_id", types.text_id(255), nullable=True),
    ]


def _fill_from_json() -> None:
    """Copy the lines. Each database has its own words for true in JSON."""
    stated = {name: kept.c.facts_after[name].as_string() for name in FACTS}
    number = sa.func.row_number().over(
        partition_by=kept.c.subscription_id, order_by=kept.c.entry_id
    )
    query = sa.select(
        subscriptions.c.uuid,
        number,
        *(kept.c[name] for name in SAME),
        *(stated[name] for name in WORDS),
        *(sa.cast(stated[name], sa.String(5)).in_(("true", "1")) for name in FLAGS),
    ).join_from(kept, subscriptions, subscriptions.c.subscription_id == kept.c.subscription_id)
    names = ("subscription_uuid", "line", *SAME, *FACTS)
    op.execute(lines.insert().from_select(names, query.order_by(kept.c.entry_id)))


def _state_the_present() -> None:
    """Give each subscription a line with its facts as they stand, and point to it."""
    count = (
        sa.select(sa.func.count() + 1)
        .where(lines.c.subscription_uuid == subscriptions.c.uuid)
        .scalar_subquery()
    )
    flags = {name: subscriptions.c[detail].is_not(None) for name, detail in FLAGS.items()}
    op.execute(subscriptions.update().values(line=count, **flags))
    is_mysql = op.get_context().dialect.name == "mysql"
    now = sa.func.utc_timestamp() if is_mysql else sa.func.current_timestamp()
    words = "The portal began to hold each fact to its history."
    status = sa.select(lines.c.status_after).where(
        lines.c.subscription_uuid == subscriptions.c.uuid,
        lines.c.line == subscriptions.c.line - 1,
    )
    newest = sa.func.coalesce(status.scalar_subquery(), "UNKNOWN")
    query = sa.select(
        subscriptions.c.uuid,
        subscriptions.c.line,
        now,
        sa.literal_column("'STATED'"),
        newest,
        newest,
        sa.literal_column(f"'{words}'"),
        sa.literal_column("'command'"),
        *(subscriptions.c[name] for name in FACTS),
    )
    names = (
        "subscription_uuid",
        "line",
        "at",
        "move",
        "status_before",
        "status_after",
        "because",
        "actor",
        *FACTS,
    )
    op.execute(lines.insert().from_select(names, query))


def _altering(columns: list[Any]) -> Any:
    """Alter am_subscription; ``columns`` is what SQLite copies, also where it only prints."""
    keys = {
        "tenant_id": "am_tenant.tenant_id",
        "api_id": "am_api.api_id",
        "application_id": "am_application.application_id",
        "policy_version_id": "am_policy_version.policy_version_id",
        "pending_policy_version_id": "am_policy_version.policy_version_id",
    }
    table = sa.Table(
        "am_subscription",
        sa.MetaData(),
        *columns,
        *(
            sa.ForeignKeyConstraint([name], [target], name=op.f(f"fk_am_subscription_{name}"))
            for name, target in keys.items()
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_am_subscription")),
        *(
            sa.UniqueConstraint(name, name=op.f(f"uq_am_subscription_{name}"))
            for name in ("engine_subscription_id", "live_key", "uuid")
        ),
        sa.Index("ix_am_subscription_api_id_ended_at", "api_id", "ended_at"),
        sa.Index("ix_am_subscription_application_id_ended_at", "application_id", "ended_at"),
        sa.Index("ix_am_subscription_changed_at", "changed_at"),
        sa.Index("ix_am_subscription_refresh_due", "refresh_due"),
        sa.Index("ix_am_subscription_tenant_id", "tenant_id"),
    )
    return op.batch_alter_table("am_subscription", copy_from=table)


def _columns(word: Any = None) -> list[Any]:
    word = word or sa.String(20)
    return [
        sa.Column("subscription_id", sa.Integer(), nullable=False),
        sa.Column("uuid", types.text_id(36), nullable=False),
        sa.Column("tenant_id", sa.Integer(), nullable=False),
        sa.Column("api_id", sa.Integer(), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("policy_version_id", sa.Integer(), nullable=False),
        sa.Column("live_key", types.text_id(64), nullable=True),
        sa.Column("created_at", types.UtcDateTime(), nullable=False),
        *(sa.Column(name, word, nullable=False) for name in WORDS),
        sa.Column("pending_policy_version_id", sa.Integer(), nullable=True),
        sa.Column("end_requested_at", types.UtcDateTime(), nullable=True),
        sa.Column("ended_at", types.UtcDateTime(), nullable=True),
        sa.Column("connected_account", types.text_id(255), nullable=True),
        sa.Column("engine_subscription_id", types.text_id(255), nullable=True),
        sa.Column("engine_status", sa.String(length=30), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("engine_at", sa.BigInteger(), nullable=False),
        sa.Column("refresh_due", sa.Boolean(), nullable=False),
        sa.Column("refresh_failed_at", sa.BigInteger(), nullable=False),
        sa.Column("period_start", types.UtcDateTime(), nullable=True),
        sa.Column("period_end", types.UtcDateTime(), nullable=True),
        sa.Column("cancel_at", types.UtcDateTime(), nullable=True),
        sa.Column("needs_authentication", sa.Boolean(), nullable=False),
        sa.Column("pay_url", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
    ]


def _added(*, with_defaults: bool = False) -> list[Any]:
    zero, false = ("0", sa.false()) if with_defaults else (None, None)
    line = sa.Column("line", sa.Integer(), nullable=False, server_default=zero)
    return [line, *(_flag(name, server_default=false) for name in FLAGS)]


def _flag(name: str, server_default: Any = None) -> Any:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=server_default)
