"""Routes: what items of one kind have in common is chosen once."""

from tests.ledger.moves import routed
from tests.ledger.placed import place
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.session import Ledger


def test_a_route_is_the_same_for_another_item_but_for_its_id_and_its_times(ledger: Ledger) -> None:
    place(ledger, "submitted")
    with ledger.read() as connection:
        (item,) = routes.submitted(connection, {"": 1}, lock=False)
    first = routed(item, 5, due=7, ready_at=9, lane="live", prompt="p", reason="outage")
    another = first.of_another("another", 70, 90)
    assert another == first._replace(id="another", due=70, ready_at=90)
    assert another != first
