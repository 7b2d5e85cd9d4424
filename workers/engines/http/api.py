"""A provider's API, for the engines behind one: one call out, one reply in, every end named."""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import httpx2
import structlog

from tierqueue.router.outcome import (
    ENGINE_TIME,
    Completed,
    Failed,
    FlexRefused,
    Interrupted,
    PerMinute,
    Reply,
    Throttled,
    Token,
    Unavailable,
    Unknown,
    Usage,
)
from tierqueue.workers.engines.engine import Call
from tierqueue.workers.engines.engine_time import Clock, EngineTime, OutOfEngineTime
from tierqueue.workers.engines.http import bills, finishes, rate_limits, refusals, streams, wire
from tierqueue.workers.engines.http.refusals import ProviderRefusal
from tierqueue.workers.engines.http.wire import SendState, Unreadable

log = structlog.get_logger(__name__)

_NOTHING_TAKEN = ("unreachable", "engine_dead", "too_late")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """A reply as read from the wire, without its bill; ``finish`` is a meaning of ``finishes``."""

    text: str
    finish: str
    model: str | None
    tokens: tuple[Token, ...] = ()


class ApiEngine(ABC):
    """One deployment behind HTTP.

    ``metered`` says that a vendor bills calls, so that a lost reply is ``Unknown``; on an endpoint
    of the house it is ``Failed`` and charged its share of engine time, as seen from this process.
    """

    def __init__(
        self,
        *,
        deployment: str,
        simulated: bool,
        metered: bool,
        connect_timeout: float = 10.0,
        clock: Clock = time.monotonic,
    ) -> None:
        self._deployment = deployment
        self._connect_timeout = connect_timeout
        self._simulated = simulated
        self._metered = metered
        self._clock = clock
        self._time = EngineTime(clock)
        self._http: httpx2.AsyncClient | None = None
        self.rates: PerMinute | None = None
        self._without: frozenset[str] = frozenset()
        self._no_flex = False

    @abstractmethod
    async def _send(self, call: Call) -> httpx2.Response:
        """Make the request through the provider's SDK; any status is a response, none an error."""

    @abstractmethod
    def _fold(self, events: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """The body of a 200 that came as a stream of events. Raises ``Unreadable``."""

    @abstractmethod
    def _read(self, body: Mapping[str, Any]) -> ApiAnswer:
        """The answer in the body of a 200."""

    @abstractmethod
    def _bill(self, body: Mapping[str, Any]) -> Usage:
        """What the body of a 200 bills. Raises ``Unreadable``."""

    @property
    def healthy(self) -> bool:
        """Whether calls can be made: an API engine has no state of its own that could break."""
        return self._http is not None and not self._http.is_closed

    async def failed(self) -> str:
        """Return why the engine can serve no more; an API engine recovers, so this never does."""
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    def _open(self, sdk_logger: str) -> httpx2.AsyncClient:
        # At DEBUG the SDKs write whole requests, prompts included, into the log.
        for name in (sdk_logger, "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._http = wire.http_client()
        return self._http

    def _headers(self, call: Call) -> dict[str, str]:
        named = {"item": call.item, "fence": str(call.fence), **call.labels}
        headers = {f"x-tierqueue-{name}": wire.header(value) for name, value in named.items()}
        return headers if call.first_token is None else {**headers, "accept-encoding": "identity"}

    def _timeout(self, call: Call) -> httpx2.Timeout:
        return httpx2.Timeout(call.timeout, connect=min(self._connect_timeout, call.timeout))

    async def complete(self, call: Call) -> Reply:
        """One call; see ``Engine.complete``."""
        if not self.healthy:
            message = f"{self._deployment}: the engine is not running"
            return Unavailable(kind="engine_dead", message=message)
        if call.flex and self._no_flex:
            return FlexRefused(lasting=True)
        sending = SendState(by=call.send_by)
        token = wire.SENDING.set(sending)
        began, mark = self._clock(), self._time.enter()
        try:
            async with (
                asyncio.timeout(call.timeout),
                streams.first_token_within(call.first_token),
                self._time.within(mark, call.engine_seconds),
            ):
                response = await self._send(call)
            reply = self._judge(call, response)
            if isinstance(reply, FlexRefused) and reply.lasting:
                # The next call is not refused for it once more.
                self._no_flex = True
                log.warning("flex_refused", deployment=self._deployment)
        except asyncio.CancelledError:
            self._time.cut(call.item, call.fence, mark)
            raise
        except Exception as error:  # noqa: BLE001 - every end of a call is an outcome
            reply = self._without_reply(call, sending, error)
        finally:
            wire.SENDING.reset(token)
            engine_seconds = self._time.leave(mark)
        return self._timed(reply, self._clock() - began, engine_seconds)

    def spent(self, call: Call) -> Usage:
        """What a call that was cancelled has taken of an engine of the house; asked once."""
        seconds = self._time.was_cut(call.item, call.fence)
        return Usage() if self._metered else Usage(engine_seconds=seconds)

    async def request(self, call: Call) -> bytes | None:
        """The body of the request that ``complete`` would make, unsent; ``None``: none can be."""
        recorded: list[bytes] = []
        token = wire.RECORDED.set(recorded)
        try:
            await self._send(call)
        except Exception as error:  # noqa: BLE001 - it ends with an error where nothing is sent
            if not recorded:
                log.warning("engine_request_not_made", item=call.item, error=type(error).__name__)
        finally:
            wire.RECORDED.reset(token)
        return recorded[0] if recorded else None

    def read(self, call: Call, response: httpx2.Response) -> Reply:
        """What a reply is worth that came otherwise, as that of a call."""
        try:
            return self._judge(call, response)
        except Exception as error:  # noqa: BLE001 - every end of a call is an outcome
            log.warning(
                "engine_error_unexpected", item=call.item, error=type(error).__name__, sent=True
            )
            return self._lost("unexpected", f"a reply that cannot be read: {type(error).__name__}")

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        if self._http is not None:
            await self._http.aclose()

    def _judge(self, call: Call, response: httpx2.Response) -> Reply:
        self.rates = rate_limits.stated_limits(response.headers) or self.rates
        labelled = wire.simulated(response)
        if labelled and not self._simulated:
            return Unavailable(
                kind="undeclared_simulation",
                message=f"the endpoint of deployment {self._deployment} is a simulation and the "
                "policy does not declare it: state simulated = true or correct base_url",
            )
        try:
            response = streams.whole(response, self._fold)
            refusal = refusals.read(response, call)
            if refusal is not None:
                flex = refusals.of_flex(refusal, response, call) if call.flex else None
                return flex or self._refused(call, refusal, response)
            body = wire.body_of(response)
        except Unreadable as error:
            return self._lost("garbage", f"a 200 that cannot be read: {error}")
        answer = self._read(body)
        try:
            usage = self._bill(body)
            bills.check(usage, call, answer.text)
        except Unreadable as error:
            if self._metered:
                return self._lost("unreadable_bill", f"a 200 whose bill cannot be true: {error}")
            usage = bills.estimate(call, answer.text)
        finish = answer.finish
        if finish == finishes.BROKEN:
            message = f"{self._deployment}: the provider broke its answer off"
            return Unavailable(kind=self._lost_reply, message=message, usage=usage)
        if finish == finishes.UNSAID:
            finish = "length" if usage.output_tokens >= call.output_limit else "stop"
        return Completed(
            text=answer.text,
            usage=usage,
            # Servers of the house answer with the name that was asked for, a path perhaps.
            model_served=call.model
            if body.get("model") == call.model
            else answer.model or call.model,
            finish=finish,
            simulated=labelled,
            tokens=answer.tokens if call.alternatives is not None else (),
            without=tuple(sorted(self._without)),
        )

    def _refused(self, call: Call, refusal: ProviderRefusal, response: httpx2.Response) -> Reply:
        """The outcome of an error, the same whether an HTTP status or a 200 brought it."""
        status = refusal.status
        message = f"{self._deployment}: {', '.join([f'HTTP {status}', *refusal.words])}"
        transient = status in wire.TRANSIENT_4XX or (status >= 500 and not refusal.too_long)
        failed = Failed(kind=f"http_{status}", message=message, transient=transient)
        billed = self._billed_all_the_same(response)
        if billed.total_input or billed.output_tokens:
            if status >= 500 and not refusal.too_long:
                return Unavailable(kind=self._lost_reply, message=message, usage=billed)
            return replace(failed, usage=billed)
        if refusal.begun and self._metered:
            return self._lost("broken_off", "an answer broke off without a bill")
        if refusal.too_large is not None:
            said = f"{message}: {refusal.too_large.message()}"
            return replace(failed, message=said, transient=False, reason="too_large")
        trouble = refusals.trouble(refusal)
        if trouble == "throttled":
            return Throttled(after=refusal.after, over=refusal.over)
        if status in wire.GATEWAY_LOST and not refusal.own:
            return self._lost("gateway", f"HTTP {status} from a gateway, not from the provider")
        if refusal.withheld or refusal.too_long:
            # As where a finish reason says so, but for a refused request nobody bills.
            return Completed(
                text="",
                usage=Usage(),
                model_served=call.model,
                finish="too_long" if refusal.too_long else "filtered",
                simulated=wire.simulated(response),
            )
        if trouble is not None:
            loaded = status == wire.OVERLOADED
            return Unavailable(
                kind=trouble, message=message, after=refusal.after, overloaded=loaded
            )
        return failed

    def _billed_all_the_same(self, response: httpx2.Response) -> Usage:
        """What a 200 bills that holds an error: an answer may have broken off half-way."""
        if not response.is_success:
            return Usage()
        try:
            return self._bill(wire.body_of(response))
        except Unreadable:
            return Usage()

    def _without_reply(self, call: Call, sending: SendState, error: Exception) -> Reply:
        if sending.late:
            log.warning("engine_call_too_late", deployment=self._deployment, item=call.item)
            return Interrupted(kind="too_late")
        if isinstance(error, OutOfEngineTime):
            return Interrupted(kind=ENGINE_TIME)
        cause = error if isinstance(error, TimeoutError) else error.__cause__ or error
        named = str(error) if isinstance(error, streams.NoToken) else type(cause).__name__
        timed_out = isinstance(cause, TimeoutError | httpx2.TimeoutException)
        # A request that breaks the protocol on our side was never written to the wire.
        ours = isinstance(cause, httpx2.LocalProtocolError)
        expected = not ours and isinstance(cause, wire.NETWORK)
        if not expected:
            # The type alone: an unexpected error's text may quote the payload.
            log.error(
                "engine_error_unexpected",
                deployment=self._deployment,
                item=call.item,
                error=named,
                sent=sending.begun,
            )
        if sending.begun and not ours:
            kind = "timeout" if timed_out else "connection_lost" if expected else "unexpected"
            return self._lost(kind, f"no reply after the request was sent: {named}")
        message = f"{self._deployment}: the request was not sent: {named}"
        if expected:
            return Unavailable(kind="unreachable", message=message)
        return Failed(kind="unexpected", message=message, transient=False)

    @property
    def _lost_reply(self) -> Literal["reply_lost", "outage"]:
        """What a lost reply says of the deployment: a vendor may bill each one."""
        return "reply_lost" if self._metered else "outage"

    def _lost(self, kind: str, said: str) -> Reply:
        message = f"{self._deployment}: {said}"
        if self._metered:
            log.warning("engine_reply_lost", deployment=self._deployment, kind=kind)
            return Unknown(kind=kind, message=message)
        if kind in ("gateway", "connection_lost"):
            return Unavailable(kind="outage", message=message)
        # It took the request and its time, or answered nonsense: the item may be the cause.
        return Failed(kind=kind, message=message, transient=True)

    def _timed(self, reply: Reply, seconds: float, engine_seconds: float) -> Reply:
        if isinstance(reply, Completed):
            reply = replace(reply, seconds=seconds)
        elif (
            not isinstance(reply, Failed | Unavailable | Interrupted)
            or reply.kind in _NOTHING_TAKEN
        ):
            return reply
        if self._metered:
            return reply
        return replace(reply, usage=replace(reply.usage, engine_seconds=engine_seconds))
