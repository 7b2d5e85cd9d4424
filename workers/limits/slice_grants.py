"""The slots that a slice is granted of those it asks for, and why it is refused the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tierqueue.tasks.broker.slices import SliceItem
from tierqueue.workers.limits.bounds import Slot
from tierqueue.workers.limits.line import NEAR


@dataclass(frozen=True, slots=True)
class SlotRefusal:
    """Why items may not be claimed now, by code, and for how many seconds.

    ``busy``: only because calls are in flight: capacity comes free soon. ``rate``: a rate is used
    up, and has headroom again then.
    """

    wait: float
    code: str
    busy: bool = False
    rate: bool = False

    @property
    def near(self) -> bool:
        """Whether a rate has headroom again in a moment."""
        return self.rate and self.wait <= NEAR


@dataclass(frozen=True, slots=True)
class SliceGrant:
    """Slots by item id, which items never get one, why not the others now, when to send at last."""

    slots: Mapping[str, Slot]
    never: Sequence[SliceItem]
    refused: SlotRefusal | None
    send_by: float = 0.0
    aside: Mapping[SlotRefusal, Sequence[SliceItem]] = field(default_factory=dict)
    """Items that wait for their budget, so that no other waits for them."""
