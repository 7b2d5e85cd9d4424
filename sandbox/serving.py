"""The serving of a call: its text, its end, its usage and its cost."""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from sandbox.answering.answers import answer, broken
from sandbox.answering.cache import PromptCache
from sandbox.answering.prices import Price, PriceList
from sandbox.failing.faults import FLEX, Fault, Markers
from sandbox.failing.limits import Gate, Limit
from sandbox.failing.plan import Plan, read_limits
from sandbox.failing.troubles import Troubles
from sandbox.wires.call import BYTES_PER_TOKEN, Call, Finish, Refused, Served, tokens_of


@dataclass(slots=True)
class Model:
    """What is remembered of one model while the process lives."""

    price: Price
    gate: Gate
    ordinal: int = 0
    max_in_flight: int = 0


class Desk:
    """Admits calls, draws their faults and works out what they come to."""

    def __init__(
        self,
        plan: Plan,
        limit: Limit,
        troubles: Path | None = None,
        limits: Path | None = None,
    ) -> None:
        self.prices = PriceList()
        self._plan = plan
        self._limit = limit
        self._limits = limits
        self._read_at = 0
        self._markers = Markers()
        self._troubles = Troubles(troubles)
        self._cache = PromptCache()
        self._models: dict[str, Model] = {}

    def model(self, name: str) -> Model:
        """The model of that name; ``Refused`` 404 where it has no price."""
        self._read_limits()
        known = self._models.get(name)
        if known is None:
            gate = Gate(self._plan.limit(name, self._limit))
            known = self._models[name] = Model(self.prices.of(name), gate)
        return known

    def _read_limits(self) -> None:
        """Take the file of limits as it is now; of calls admitted before nothing is forgotten."""
        if self._limits is None or (at := self._limits.stat().st_mtime_ns) == self._read_at:
            return
        self._read_at = at
        self._plan = replace(self._plan, limits=read_limits(self._limits))
        for name, model in self._models.items():
            model.gate.limit = self._plan.limit(name, self._limit)

    def gate(self, name: str | None) -> Gate:
        """The limits of the model of that name; of a name it does not know there are none."""
        known = self._models.get(name or "")
        return Gate(Limit()) if known is None else known.gate

    @property
    def in_flight(self) -> int:
        """Admitted calls of all models that have not ended."""
        return sum(model.gate.in_flight for model in self._models.values())

    def fault(self, call: Call, model: Model, prompt_sha256: str) -> Fault | None:
        """The fault this call is to have: everybody's, a marker's, else the plan's. Counts it.

        ``Refused`` for what the model's host does not take.
        """
        self._plan.hosts.admit(call)
        if call.tier == "flex" and not model.price.flex:
            raise Refused(400, "Unsupported service_tier: flex", param="service_tier")
        model.ordinal += 1
        found = (
            self._troubles.of(call.model)
            or self._markers.next(call, call.prompt, prompt_sha256)
            or self._plan.fault(call.model, model.ordinal)
        )
        return None if found and found.kind in FLEX and call.tier != "flex" else found

    def serve(
        self, call: Call, model: Model, ordinal: int, fault: Fault | None, came: float | None = None
    ) -> Served:
        """Write the answer and count it. ``Refused`` 400 for a schema we cannot answer.

        ``came``: epoch seconds, where it is not answered at once.
        """
        now = time.time()
        kind = fault.kind if fault is not None else None
        text = broken(call) if kind == "invalid" else answer(call)
        finish: Finish = "stop"
        if kind == "truncated":
            text, finish = text[: len(text) // 2], "length"
        thought = min(self._plan.hosts.reasoning(call.model), call.max_output)
        left = call.max_output - thought
        if tokens_of(text) > left:
            whole = text.encode("utf-8", "surrogatepass")[: left * BYTES_PER_TOKEN]
            text, finish = whole.decode("utf-8", "ignore"), "length"
        if kind == "thinks":
            text = f"<think>\nSimulated thoughts, no part of the answer.\n</think>\n\n{text}"
        written = tokens_of(text)
        drawn = self._plan.output_tokens(call.model, ordinal)
        output = written + thought if drawn is None else min(drawn, call.max_output)
        if kind == "overage" and fault is not None and fault.amount is not None:
            output = max(output, ceil(call.max_output * fault.amount))
        usage = self._cache.use(call, input_tokens(call), now if came is None else came, now)
        usage = replace(usage, output=output, reasoning=max(0, output - written))
        model.gate.spend(time.monotonic(), output)
        by_flex = call.tier == "flex" and kind != "not_flex"
        return Served(text, finish, usage, "flex" if by_flex else "default")


def input_tokens(call: Call) -> int:
    """The prompt's tokens, its images' and, where there is one, the schema's."""
    schema = 0 if call.schema is None else tokens_of(json.dumps(call.schema))
    return tokens_of(call.prompt) + call.image_tokens + schema


def prompt_sha256(call: Call) -> str:
    """The hash the log names the prompt by: of all texts, joined by an empty line."""
    return hashlib.sha256(call.prompt.encode("utf-8", "surrogatepass")).hexdigest()
