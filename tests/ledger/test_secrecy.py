"""What the database complains of never carries a payload."""

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from tierqueue.ledger.session import Ledger
from tierqueue.ledger.tables import jobs


def test_an_error_of_the_database_does_not_quote_what_was_written(ledger: Ledger) -> None:
    secret = "a sentence nobody may see"
    row = {
        "id": "j",
        "task": "t",
        "source": secret,
        "submitted_at": 0,
        "complete": False,
        "total": 0,
    }
    with ledger.write() as connection:
        connection.execute(insert(jobs).values(**row))
        with pytest.raises(IntegrityError) as refused, connection.begin_nested():
            connection.execute(insert(jobs).values(**row))
    assert secret not in str(refused.value)
