"""SQLite's triggers log what moves of a job's rows; what commits adds it up, once a transaction.

What an older release moves is in the log until a newer one commits anything.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module

import sqlalchemy as sa
from alembic import op

revision: str = "0078"
down_revision: str | None = "0077"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

_TRIGGERS = (
    *("count_new_item", "count_moved_item", "count_shared_row"),
    *("count_new_booked", "count_booked"),
)
_SENT = "('routed', 'queued', 'running')"
_BOOKED = "('unknown', 'lost')"
_PLACE = ("part", "state", "reason", "tier", "went_on")
_SUMMED = ("spent", "held", "size")
_NEW = ", ".join((*_PLACE, *_SUMMED))
_OLD = ", ".join(f"old_{name}" for name in (*_PLACE, *_SUMMED))


def _item(row: str) -> str:
    """What is logged of an item as it is or was."""
    part = (
        f"CASE WHEN {row}.part_of IS NOT NULL THEN 'piece'"
        f" WHEN {row}.split IS NOT NULL THEN 'document' ELSE 'own' END"
    )
    return (
        f"{part}, {row}.state, {row}.reason, {row}.tier, {row}.refused_by IS NOT NULL,"
        f" {row}.spent, {row}.held, {row}.prompt_bytes"
    )


def _shared(item: str) -> str:
    """The same of an item that is another row's, whose sums are not counted twice."""
    return f"'shared', {item}.state, {item}.reason, NULL, FALSE, 0, 0, 0"


def _booked(row: str) -> str:
    """The same of a call whose bill is not known."""
    return f"'booked', '', NULL, NULL, FALSE, coalesce({row}.cost, 0), 0, 0"


_ENDED = """CASE WHEN NEW.ended_at IS NOT NULL AND OLD.ended_at IS NULL AND NEW.part_of IS NULL
    THEN NEW.ended_at / 1000000 END"""
_LOG = "INSERT INTO job_moves (job_id"
_OF_ITEM = "FROM items i WHERE i.id = NEW.item_id AND i.job_id IS NOT NULL"

# Every word of them stands in this file.
_COUNTING = (
    f"""CREATE TRIGGER count_new_item AFTER INSERT ON items WHEN NEW.job_id IS NOT NULL BEGIN
    {_LOG}, {_NEW}) VALUES (NEW.job_id, {_item("NEW")});
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_moved_item
    AFTER UPDATE OF state, reason, tier, spent, held, refused_by, ended_at ON items
    WHEN NEW.job_id IS NOT NULL AND (NEW.state NOT IN {_SENT} OR OLD.state NOT IN {_SENT}
    OR NEW.tier IS NOT OLD.tier OR NEW.spent <> OLD.spent
    OR (NEW.refused_by IS NULL) <> (OLD.refused_by IS NULL)) BEGIN
    {_LOG}, {_OLD}, {_NEW}, ended)
    VALUES (NEW.job_id, {_item("OLD")}, {_item("NEW")}, {_ENDED});
    {_LOG}, {_OLD}, {_NEW}) SELECT r.job_id, {_shared("OLD")}, {_shared("NEW")}
    FROM job_rows r WHERE NEW.shared AND r.item_id = NEW.id AND r.fingerprint IS NULL;
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_shared_row AFTER INSERT ON job_rows WHEN NEW.fingerprint IS NULL BEGIN
    UPDATE items SET shared = TRUE WHERE id = NEW.item_id AND NOT shared;
    {_LOG}, {_NEW}) SELECT NEW.job_id, {_shared("i")}
    FROM items i WHERE i.id = NEW.item_id;
    END""",  # noqa: S608
    f"""CREATE TRIGGER count_new_booked AFTER INSERT ON attempts
    WHEN NEW.outcome IN {_BOOKED} BEGIN
    {_LOG}, {_NEW}) SELECT i.job_id, {_booked("NEW")} {_OF_ITEM};
    END""",
    f"""CREATE TRIGGER count_booked AFTER UPDATE OF outcome, cost ON attempts
    WHEN OLD.outcome IN {_BOOKED} OR NEW.outcome IN {_BOOKED} BEGIN
    {_LOG}, {_OLD}) SELECT i.job_id, {_booked("OLD")} {_OF_ITEM}
    AND OLD.outcome IN {_BOOKED};
    {_LOG}, {_NEW}) SELECT i.job_id, {_booked("NEW")} {_OF_ITEM}
    AND NEW.outcome IN {_BOOKED};
    END""",
)


def upgrade() -> None:
    op.create_table(
        "job_moves",
        sa.Column("id", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("job_id", _ID, nullable=False),
        *(column for when in ("old_", "") for column in _logged(when)),
        sa.Column("ended", sa.BigInteger()),
    )
    if op.get_bind().dialect.name == "sqlite":
        _replace(_COUNTING)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for statement in _added():
            op.execute(statement)
        pieces = import_module("tierqueue.migrations.versions.0075c_pieces")
        first = import_module("tierqueue.migrations.versions.0041_job_counts")
        of_items = [pieces._apart(one) for one in pieces._counting("sqlite")]  # noqa: SLF001
        _replace([*of_items, *first._SQLITE[2:]])  # noqa: SLF001
    op.drop_table("job_moves")


def _logged(when: str) -> Iterator[sa.Column[str | bool | int]]:
    for name in ("part", "state", "reason", "tier"):
        yield sa.Column(f"{when}{name}", sa.Text())
    yield sa.Column(f"{when}went_on", sa.Boolean())
    for name in ("spent", "held"):
        yield sa.Column(f"{when}{name}", sa.BigInteger())
    yield sa.Column(f"{when}size", sa.Integer())


def _replace(triggers: Sequence[str]) -> None:
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for statement in triggers:
        op.execute(statement)


def _added() -> Iterator[str]:
    """What is still in the log, added to the sums one move after the other."""
    into = (
        "INSERT INTO job_counts (job_id, part, at, state, reason, tier, went_on,"
        " rows, spent, held, squares, size, size_squares, size_spent)"
    )
    names = ("rows", "spent", "held", "squares", "size", "size_squares", "size_spent")
    more = ", ".join(f"{name} = job_counts.{name} + excluded.{name}" for name in names)
    for when, sign in (("old_", "-"), ("", "")):
        state, spent, size = (f"{when}{name}" for name in ("state", "spent", "size"))
        yield f"""{into} SELECT job_id, {when}part, 0,
        CASE WHEN {state} IN {_SENT} THEN 'routed' ELSE {state} END,
        CASE WHEN {state} = 'dead' THEN coalesce({when}reason, '') ELSE '' END,
        coalesce({when}tier, ''), {when}went_on, {sign}1, {sign}{spent},
        {sign}(CASE WHEN {state} = 'handed_over' THEN {when}held ELSE 0 END),
        {sign}1.0 * {spent} * {spent}, {sign}1.0 * {size}, {sign}1.0 * {size} * {size},
        {sign}1.0 * {size} * {spent} FROM job_moves WHERE {state} IS NOT NULL
        ON CONFLICT DO UPDATE SET {more}"""  # noqa: S608
    yield f"""{into} SELECT job_id, 'ends', ended, '', '', coalesce(tier, ''), went_on,
    1, 0, 0, 0, 0, 0, 0 FROM job_moves WHERE ended IS NOT NULL
    ON CONFLICT DO UPDATE SET {more}"""  # noqa: S608
