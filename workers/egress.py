"""The last look before a call: may this item's payload go to this deployment's boundary?

Routing has asked already; this is a second line that shares none of its code, so that a mistake
there sends nothing out.
"""

from tierqueue.router.errors import EgressRefused
from tierqueue.router.item import Sensitivity

HOUSE = "house"
VENDOR = "vendor:"
MAY_LEAVE = frozenset({Sensitivity.PUBLIC, Sensitivity.INTERNAL})


def check(sensitivity: Sensitivity, boundary: str, item: str) -> None:
    """Return when ``item`` may be sent to a deployment inside ``boundary``.

    Raises ``EgressRefused`` when confidential or regulated data would leave the house, and for a
    boundary that is neither ``house`` nor ``vendor:<name>``, whatever the sensitivity.
    """
    if boundary == HOUSE:
        return
    named = boundary.startswith(VENDOR) and boundary.removeprefix(VENDOR).strip() != ""
    if named and sensitivity in MAY_LEAVE:
        return
    raise EgressRefused(
        f"item {item} is {sensitivity} and must not be sent to boundary {boundary!r}; "
        "nothing was sent",
        {"item": item, "sensitivity": str(sensitivity), "boundary": boundary},
    )
