"""Migrations on both databases: what they make, whom they refuse, and many at once."""

from tierqueue import migrations
from tierqueue.ledger.session import Ledger


def test_a_migrated_ledger_passes_the_check(ledger: Ledger) -> None:
    migrations.check(ledger)
