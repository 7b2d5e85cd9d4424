"""SQLite compares an item's state with one word after the other where it moves: for a list of words
it would make a table of them, for every item, which took up to half of the move's time.
"""

from collections.abc import Callable, Sequence
from importlib import import_module

from alembic import op

revision: str = "0084"
down_revision: str | None = "0083"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_SENT = ("routed", "queued", "running")


def upgrade() -> None:
    _put(_word_by_word)


def downgrade() -> None:
    _put(lambda statement: statement)


def _word_by_word(statement: str) -> str:
    """The trigger's statement, with each comparison with a list of states written out."""
    for row in ("NEW", "OLD"):
        listed = f"{row}.state NOT IN {_SENT}"
        if listed not in statement:
            raise AssertionError("the statement compares no state with a list")
        apart = " AND ".join(f"{row}.state <> '{state}'" for state in _SENT)
        statement = statement.replace(listed, f"({apart})")
    return statement


def _put(written: Callable[[str], str]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        log = import_module("tierqueue.migrations.versions.0078_job_moves")
        op.execute("DROP TRIGGER count_moved_item")
        op.execute(written(log._COUNTING[1]))  # noqa: SLF001
