"""The counts of a job's rows, kept by the database itself as they move.

Triggers count, so that a process of an older release counts as a newer one does. SQLite has one
writer, which adds to the sums; PostgreSQL's many append to a log, so that nobody waits for a sum,
and upkeep folds it. Making them locks ``items`` until the jobs that are there have been counted.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0041"
down_revision: str | None = "0035"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEYS = "job_id, part, at, state, reason, tier, went_on"
_SUMS = "rows, spent, held, squares, size, size_squares, size_spent"
_ENDS = "('succeeded', 'dead', 'cancelled')"
_BOOKED = "('unknown', 'lost')"
_NONE = ", 0, 0, 0, 0, 0, 0"


def _place(row: str) -> str:
    """Where an item is: what is routed, queued or running is in one place."""
    sent = "('routed', 'queued', 'running')"
    return f"CASE WHEN {row}.state IN {sent} THEN 'routed' ELSE {row}.state END"


def _reason(row: str) -> str:
    return f"CASE WHEN {row}.state = 'dead' THEN coalesce({row}.reason, '') ELSE '' END"


def _held(row: str) -> str:
    return f"CASE WHEN {row}.state = 'handed_over' THEN {row}.held ELSE 0 END"


def _own(row: str, sign: str, real: str = "DOUBLE PRECISION") -> str:
    """The keys and sums of one item of a job's own."""
    spent, size = (f"CAST({row}.{name} AS {real})" for name in ("spent", "prompt_bytes"))
    return (
        f"{row}.job_id, 'own', 0, {_place(row)}, {_reason(row)}, coalesce({row}.tier, ''),"
        f" {row}.refused_by IS NOT NULL, {sign}1, {sign}{row}.spent, {sign}({_held(row)}),"
        f" {sign}{spent} * {spent}, {sign}{size}, {sign}{size} * {size}, {sign}{size} * {spent}"
    )


def _end(row: str) -> str:
    """The keys and sums of an end in its second."""
    return (
        f"{row}.job_id, 'ends', {row}.ended_at / 1000000, '', '', coalesce({row}.tier, ''),"
        f" {row}.refused_by IS NOT NULL, 1{_NONE}"
    )


def _shared(item: str, sign: str) -> str:
    """The keys and sums of rows ``r`` that have another row's item."""
    return f"r.job_id, 'shared', 0, {_place(item)}, {_reason(item)}, '', FALSE, {sign}1{_NONE}"


def _booked(job: str, row: str, sign: str) -> str:
    """The keys and sums of a call whose bill is not known."""
    return (
        f"{job}, 'booked', 0, '', '', '', FALSE, {sign}1,"
        f" {sign}coalesce({row}.cost, 0), 0, 0, 0, 0, 0"
    )


def _moved(differs: str, old: str = "OLD", new: str = "NEW") -> str:
    """Whether an update of an item changes what is counted."""
    changes = [
        f"({of(old)}) {differs} ({of(new)})"
        for of in (
            _place,
            _reason,
            _held,
            lambda row: f"{row}.tier",
            lambda row: f"{row}.spent",
            lambda row: f"{row}.ended_at",
            lambda row: f"{row}.refused_by IS NULL",
        )
    ]
    return f"{new}.job_id IS NOT NULL AND ({' OR '.join(changes)})"


_ADDED = "ON CONFLICT DO UPDATE SET " + ", ".join(
    f"{name} = job_counts.{name} + excluded.{name}" for name in _SUMS.split(", ")
)
_COUNT = f"INSERT INTO job_counts ({_KEYS}, {_SUMS})"
_LOG = f"INSERT INTO job_deltas ({_KEYS}, {_SUMS})"

_WATCHED = "state, reason, tier, spent, held, refused_by, ended_at"
_ENDED = "NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL"
_ROWS = "FROM job_rows r WHERE r.item_id = NEW.id AND r.fingerprint IS NULL"
_OF_ITEM = "FROM items i WHERE i.id = NEW.item_id AND i.job_id IS NOT NULL"

_SQLITE = (
    f"""CREATE TRIGGER count_new_item AFTER INSERT ON items WHEN NEW.job_id IS NOT NULL BEGIN
    {_COUNT} SELECT {_own("NEW", "", "REAL")} WHERE TRUE {_ADDED};
    END""",
    f"""CREATE TRIGGER count_moved_item AFTER UPDATE OF {_WATCHED} ON items
    WHEN {_moved("IS NOT")} BEGIN
    {_COUNT} SELECT {_own("OLD", "-", "REAL")} WHERE TRUE {_ADDED};
    {_COUNT} SELECT {_own("NEW", "", "REAL")} WHERE TRUE {_ADDED};
    {_COUNT} SELECT {_end("NEW")} WHERE {_ENDED} {_ADDED};
    {_COUNT} SELECT {_shared("OLD", "-")} {_ROWS} AND NEW.shared {_ADDED};
    {_COUNT} SELECT {_shared("NEW", "")} {_ROWS} AND NEW.shared {_ADDED};
    END""",
    f"""CREATE TRIGGER count_shared_row AFTER INSERT ON job_rows WHEN NEW.fingerprint IS NULL BEGIN
    UPDATE items SET shared = TRUE WHERE id = NEW.item_id AND NOT shared;
    {_COUNT} SELECT {_shared("i", "").replace("r.job_id", "NEW.job_id")}
    FROM items i WHERE i.id = NEW.item_id {_ADDED};
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_new_booked AFTER INSERT ON attempts
    WHEN NEW.outcome IN {_BOOKED} BEGIN
    {_COUNT} SELECT {_booked("i.job_id", "NEW", "")} {_OF_ITEM} {_ADDED};
    END""",
    f"""CREATE TRIGGER count_booked AFTER UPDATE OF outcome, cost ON attempts
    WHEN OLD.outcome IN {_BOOKED} OR NEW.outcome IN {_BOOKED} BEGIN
    {_COUNT} SELECT {_booked("i.job_id", "OLD", "-")} {_OF_ITEM} AND OLD.outcome IN {_BOOKED}
    {_ADDED};
    {_COUNT} SELECT {_booked("i.job_id", "NEW", "")} {_OF_ITEM} AND NEW.outcome IN {_BOOKED}
    {_ADDED};
    END""",
)

_NEW = f"SELECT {_own('n', '')} FROM new_items n WHERE n.job_id IS NOT NULL"  # noqa: S608
_PAIRS = "FROM old_items o JOIN new_items n ON n.id = o.id"
_COUNTED = f"{_PAIRS} WHERE {_moved('IS DISTINCT FROM', 'o', 'n')}"
_MOVES = f"""SELECT {_own("o", "-")} {_COUNTED} UNION ALL SELECT {_own("n", "")} {_COUNTED}
    UNION ALL SELECT {_end("n")} {_PAIRS}
    WHERE n.job_id IS NOT NULL AND n.ended_at IS NOT NULL AND o.ended_at IS NULL"""
_OF_ROWS = (
    f"{_PAIRS} JOIN job_rows r ON r.item_id = n.id AND r.fingerprint IS NULL AND n.shared"
    f" WHERE {_moved('IS DISTINCT FROM', 'o', 'n')}"
)
_SHARED_MOVES = f"""SELECT {_shared("o", "-")} {_OF_ROWS} UNION ALL
    SELECT {_shared("n", "")} {_OF_ROWS}"""


def _summed(entries: str) -> str:
    """An entry of the log for all of ``entries`` with the same keys."""
    sums = ", ".join(f"sum({name})" for name in _SUMS.split(", "))
    alike = f"SELECT {_KEYS}, {sums} FROM ({entries}) AS entry ({_KEYS}, {_SUMS})"  # noqa: S608
    return f"{_LOG} {alike} GROUP BY {_KEYS}"


_POSTGRESQL = (
    # Once a statement, which moves many items, and one entry for all that are counted alike.
    f"""CREATE FUNCTION count_new_items() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    {_summed(_NEW)};
    RETURN NULL; END $$""",
    f"""CREATE FUNCTION count_moved_items() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM new_items WHERE job_id IS NOT NULL) THEN RETURN NULL; END IF;
    {_summed(_MOVES)};
    IF EXISTS (SELECT FROM new_items WHERE shared) THEN
        {_summed(_SHARED_MOVES)};
    END IF;
    RETURN NULL; END $$""",  # noqa: S608
    # Locked in the order of their ids, as everywhere: what moves meanwhile is counted once.
    f"""CREATE FUNCTION count_shared_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NOT EXISTS (SELECT FROM new_rows WHERE fingerprint IS NULL) THEN RETURN NULL; END IF;
    PERFORM 1 FROM items WHERE id IN (SELECT item_id FROM new_rows WHERE fingerprint IS NULL)
    ORDER BY id FOR NO KEY UPDATE;
    UPDATE items SET shared = TRUE
    WHERE NOT shared AND id IN (SELECT item_id FROM new_rows WHERE fingerprint IS NULL);
    {_LOG} SELECT {_shared("i", "")} FROM new_rows r JOIN items i ON i.id = r.item_id
    WHERE r.fingerprint IS NULL;
    RETURN NULL; END $$""",  # noqa: S608
    f"""CREATE FUNCTION count_booked() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'UPDATE' THEN
        {_LOG} SELECT {_booked("i.job_id", "OLD", "-")} {_OF_ITEM} AND OLD.outcome IN {_BOOKED};
    END IF;
    {_LOG} SELECT {_booked("i.job_id", "NEW", "")} {_OF_ITEM} AND NEW.outcome IN {_BOOKED};
    RETURN NULL; END $$""",
    """CREATE TRIGGER count_new_items AFTER INSERT ON items REFERENCING NEW TABLE AS new_items
    FOR EACH STATEMENT EXECUTE FUNCTION count_new_items()""",
    """CREATE TRIGGER count_moved_items AFTER UPDATE ON items
    REFERENCING OLD TABLE AS old_items NEW TABLE AS new_items
    FOR EACH STATEMENT EXECUTE FUNCTION count_moved_items()""",
    """CREATE TRIGGER count_shared_rows AFTER INSERT ON job_rows REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION count_shared_rows()""",
    f"""CREATE TRIGGER count_new_booked AFTER INSERT ON attempts FOR EACH ROW
    WHEN (NEW.outcome IN {_BOOKED}) EXECUTE FUNCTION count_booked()""",
    f"""CREATE TRIGGER count_booked AFTER UPDATE OF outcome, cost ON attempts FOR EACH ROW
    WHEN (OLD.outcome IN {_BOOKED} OR NEW.outcome IN {_BOOKED}) EXECUTE FUNCTION count_booked()""",
    # What is folded is gone within a second: the space is used again before the table has grown.
    """ALTER TABLE job_deltas SET (autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 10000000)""",
)


def _sums() -> list[sa.Column[Any]]:
    doubles = ("squares", "size", "size_squares", "size_spent")
    return [
        sa.Column("rows", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("spent", "held")),
        *(sa.Column(name, sa.Double(), nullable=False) for name in doubles),
    ]


def _keys() -> list[sa.Column[Any]]:
    return [
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("went_on", sa.Boolean(), nullable=False),
    ]


def upgrade() -> None:
    op.add_column(
        "items", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.create_table(
        "job_counts",
        *_keys(),
        *_sums(),
        sa.PrimaryKeyConstraint(*_KEYS.split(", "), name="pk_job_counts"),
    )
    only = sa.text("part = 'ends'")
    op.create_index(
        "ix_job_counts_ends", "job_counts", ["at"], postgresql_where=only, sqlite_where=only
    )
    op.create_table(
        "job_deltas",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
        *_keys(),
        *_sums(),
    )
    op.create_index("ix_job_deltas_job_id", "job_deltas", ["job_id"])
    sqlite = op.get_bind().dialect.name == "sqlite"
    if not sqlite:
        op.execute("LOCK TABLE items, job_rows, attempts IN SHARE ROW EXCLUSIVE MODE")
    _count_what_is_there("REAL" if sqlite else "DOUBLE PRECISION")
    for statement in _SQLITE if sqlite else _POSTGRESQL:
        op.execute(statement)


def _count_what_is_there(real: str) -> None:
    op.execute(
        "UPDATE items SET shared = TRUE"
        " WHERE id IN (SELECT item_id FROM job_rows WHERE fingerprint IS NULL)"
    )
    rows = "job_rows r JOIN items i ON i.id = r.item_id WHERE r.fingerprint IS NULL"
    calls = f"attempts a JOIN items i ON i.id = a.item_id WHERE a.outcome IN {_BOOKED}"
    sums = ", ".join(f"sum({name})" for name in _SUMS.split(", "))
    for part, source in (
        (_own("i", "", real), "items i WHERE i.job_id IS NOT NULL"),
        (_shared("i", ""), rows),
        (_booked("i.job_id", "a", ""), f"{calls} AND i.job_id IS NOT NULL"),
    ):
        # Every word of it stands in this file.
        found = f"WITH found ({_KEYS}, {_SUMS}) AS (SELECT {part} FROM {source})"  # noqa: S608
        op.execute(f"{found} {_COUNT} SELECT {_KEYS}, {sums} FROM found GROUP BY {_KEYS}")  # noqa: S608


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in ("count_new_item", "count_moved_item", "count_shared_row"):
            op.execute(f"DROP TRIGGER {name}")
        for name in ("count_new_booked", "count_booked"):
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name in ("count_new_items", "count_moved_items", "count_shared_rows", "count_booked"):
            op.execute(f"DROP FUNCTION {name}() CASCADE")
    op.drop_table("job_deltas")
    op.drop_table("job_counts")
    op.drop_column("items", "shared")
