"""An operator's change of a ceiling is in force, and on record."""

from tierqueue.ledger.ceilings import books
from tierqueue.ledger.session import Ledger
from tierqueue.router.policy.policy import CeilingRule


def test_a_ceiling_that_is_set_again_says_what_it_was_and_is_the_new_one(ledger: Ledger) -> None:
    for limit, before in (("1usd", None), ("2usd", 1_000_000_000), ("3usd", 2_000_000_000)):
        with ledger.write() as connection:
            rule = CeilingRule(scope="everything", limit=limit)
            assert books.put(connection, rule, by="ada", now=1) == before
