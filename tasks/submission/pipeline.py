"""Work of several steps: one ceiling, one deadline and the same demands for all of it."""

from typing import Unpack

from tierqueue.router.errors import InvalidItem
from tierqueue.router.policy.duration import utc
from tierqueue.tasks.app import app
from tierqueue.tasks.submission.demands import Demands, StatedDemands


def pipeline(name: str, **demands: Unpack[Demands]) -> Demands:
    """The demands that all steps of one piece of work have, for each step's call.

    ``max_cost`` is one ceiling over them together: ``name`` is a budget of its own, and what it may
    spend is set here, in all and not for each day. ``deadline`` is one moment for all, however late
    a step begins. Called again with the same ``name`` it sets the same ceiling, so that what is
    spent of it stays spent. Raises ``InvalidItem`` for bad demands and without these two.
    """
    from tierqueue.ledger.operations import ceiling_changes
    from tierqueue.router.policy.tables import CeilingRule

    if "budget" in demands:
        raise InvalidItem(f"pipeline {name}: its name is the budget of its steps: state no other")
    stated = StatedDemands.read({**demands, "budget": name}, f"pipeline {name}")
    if stated.max_cost is None or stated.deadline is None:
        raise InvalidItem(f"pipeline {name}: state max_cost and deadline, which hold for all of it")
    limit = stated.max_cost
    rule = CeilingRule.model_construct(
        scope="budget", name=name, window="total", timezone="UTC", limit=limit
    )
    with app.installation.ledger.write() as connection:
        known = ceiling_changes.in_force(connection, "budget", name, "total")
        if known is None or (known.name, known.limit) != (name, limit):
            ceiling_changes.change(connection, rule, "pipeline")
    shared: Demands = {**demands, "budget": name}
    shared["deadline"] = utc(stated.deadline).isoformat()
    del shared["max_cost"]
    return shared
