"""The serving of a batch's request: at half the price, and logged before it is billed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sandbox.answering.odd import altered
from sandbox.batch.batch import Line
from sandbox.batch.requests import Request
from sandbox.batch.terms import Terms
from sandbox.failing.limits import Gate, Limit
from sandbox.log import Entry, Log
from sandbox.serving import Desk, Model, prompt_sha256
from sandbox.wires.call import Json, Refused
from sandbox.wires.wire import Wire

Write = Callable[[Request, int, Json, int], Json]
"""A request's line from its status, its body and its number in the log."""


@dataclass(slots=True)
class Counter:
    """Serves the requests of batches. They have limits of their own: what is served here takes
    nothing of the requests and tokens a minute.
    """

    desk: Desk
    log: Log
    terms: Terms
    wire: Wire
    write: Write
    error: Callable[[Refused], Json]
    models: dict[str, Model] = field(default_factory=dict)

    def serve(self, request: Request) -> Line:
        """One request's line."""
        now = self.terms.now()
        entry = Entry(self.wire.api, now, item=request.custom_id, batch=True)
        kind: str | None = None
        try:
            if isinstance(request.call, Refused):
                raise request.call
            call, model = request.call, self._model(request.call.model)
            entry.model, entry.prompt_sha256 = call.model, prompt_sha256(call)
            fault = self.desk.fault(call, model, entry.prompt_sha256)
            if fault is not None:
                kind = entry.fault = fault.kind
                fault.refuse()
            served = self.desk.serve(call, model, model.ordinal, fault)
            entry.usage, entry.status = served.usage, 200
            entry.cost_nanousd = -(-model.price.cost(served.usage) // 2)
            body: Any = altered(self.wire.answer(call, served, self.log.seq + 1), kind)
        except Refused as refused:
            entry.status, entry.fault, kind = refused.status, refused.fault or kind, None
            body = self.error(refused)
        seq = self.log.write(entry, now)
        text = json.dumps(self.write(request, entry.status, body, seq), ensure_ascii=True)
        if kind in ("garbage", "gateway"):
            text = text[: len(text) // 2]
        return Line("" if kind == "charged_lost" else text, served=entry.status == 200)

    def _model(self, name: str) -> Model:
        """What is remembered of a model in batches; live calls have their own."""
        price = self.desk.model(name).price
        return self.models.setdefault(name, Model(price, Gate(Limit())))
