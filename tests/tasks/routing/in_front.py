"""A submitted item, and who answers it before any tier."""

from typing import Any

from tests.ledger.moves import of_each
from tests.ledger.placed import place
from tests.tasks.routing.tickets import arguments
from tierqueue.ledger.in_force.pauses import Pause
from tierqueue.ledger.lifecycle import routes
from tierqueue.ledger.session import Ledger
from tierqueue.ledger.session import now as database_now
from tierqueue.router.policy.policy import Policy
from tierqueue.tasks.routing.below import Versions
from tierqueue.tasks.routing.decide import Decisions, choose_all

_NOT_AUDITED = "item-1"
"""An id that the draw of the audit leaves out: about one in a hundred is drawn."""


def served(
    who: Versions,
    ledger: Ledger,
    policy: Policy,
    text: str,
    *,
    off: tuple[str, ...] = (),
    paused: tuple[Pause, ...] = (),
    called: dict[str, object] | None = None,
    **columns: Any,
) -> Decisions:
    """What becomes of one submitted item."""
    place(
        ledger,
        "submitted",
        **{
            "id": _NOT_AUDITED,
            "task": "tierqueue.classify",
            "arguments": arguments(text, **(called or {})),
            "tier": None,
            "deployment": None,
            "budget": None,
            "bound": None,
            "token_bound": None,
            **columns,
        },
    )
    with ledger.read() as connection:
        found = routes.submitted(connection, of_each(connection, None, 10), lock=False)
        given = routes.arguments(connection, [item.id for item in found])
        chosen = choose_all(found, policy, database_now(connection), {})
    return who.serve(chosen, given, off, paused)
