"""Alerts about a settled call: a bill above its bound, another model than was asked for."""

from collections.abc import Callable

import structlog

from tierqueue.ledger.lifecycle.settlements import Settlement
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.alerts.hook import Message

_log = structlog.get_logger(__name__)


class Alarms:
    """Used by one thread; ``hook`` is told of what is logged."""

    def __init__(self, hook: Callable[[Message], None]) -> None:
        self._hook = hook
        self._other_models: set[tuple[str, str]] = set()

    def check(self, deployment: Deployment, settled: Settlement) -> None:
        """Log a settled call and notify the hook of it, where something is wrong with its bill."""
        detail = settled.detail or {}
        if over := detail.get("overage"):
            said = {
                "item": settled.item_id,
                "fence": settled.fence,
                "deployment": deployment.name,
                "held": settled.held,
                "over": over,
                "simulated": deployment.simulated,
            }
            _log.error("overage", **said)
            self._hook({"what": "overage", **said})
        if served := detail.get("billed_as"):
            _log.warning(
                "flex_billed_otherwise",
                item=settled.item_id,
                fence=settled.fence,
                deployment=deployment.name,
                service_tier=served,
            )
        if detail.get("other_model"):
            self._another_model(deployment, settled, str(detail["model_served"]))

    def _another_model(self, deployment: Deployment, settled: Settlement, served: str) -> None:
        """Log it for each item; tell the hook of each deployment and name once a process."""
        said: dict[str, str | int] = {
            "item": settled.item_id,
            "fence": settled.fence,
            "deployment": deployment.name,
            "asked": deployment.model,
            "served": served,
            "outcome": settled.outcome,
        }
        _log.warning("other_model", **said)
        if (deployment.name, served) not in self._other_models:
            self._other_models.add((deployment.name, served))
            self._hook({"what": "other_model", **said})
