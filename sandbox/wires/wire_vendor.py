"""Chat completions as a vendor other than OpenAI speaks them: its parameters, usage and errors."""

from sandbox.wires import events
from sandbox.wires.call import Call, Json, Refused, Served
from sandbox.wires.vendors import Vendor
from sandbox.wires.wire_openai import PARAMETERS, OpenAIWire


class VendorWire(OpenAIWire):
    """One vendor's chat completions."""

    def __init__(self, vendor: Vendor) -> None:
        self._vendor = vendor

    def read(self, body: Json) -> Call:
        """The call, where the vendor takes all of it; what it passes over is not in it."""
        taken = self._vendor.taken(body)
        return super().read({name: taken[name] for name in taken.keys() & PARAMETERS})

    def answer(self, call: Call, served: Served, seq: int) -> Json:
        """A ``chat.completion`` with the vendor's words for its end and its cached tokens."""
        answer = super().answer(call, served, seq)
        if served.finish == "stop":
            answer["choices"][0]["finish_reason"] = self._vendor.stop
        usage = answer["usage"]
        details = usage.pop("prompt_tokens_details")
        match self._vendor.cached:
            case "details":
                usage["prompt_tokens_details"] = details
            case "top":
                usage["cached_tokens"] = served.usage.cached
            case "hits":
                usage["prompt_cache_hit_tokens"] = served.usage.cached
                usage["prompt_cache_miss_tokens"] = served.usage.all_input - served.usage.cached
        return answer

    def events(self, call: Call, answer: Json, /) -> list[Json]:
        """``chat.completion.chunk``s, with the usage where the vendor puts it."""
        if self._vendor.streamed == "asked":
            return super().events(call, answer)
        return events.chunks(answer, self._vendor.streamed)

    def worded(self, refused: Refused) -> Refused:
        """The refusal with the vendor's status and words."""
        return self._vendor.worded(refused)

    def error(self, refused: Refused, _request: str, /) -> Json | list[Json]:
        """The vendor's error."""
        error = self.as_json(refused)
        match self._vendor.errors:
            case "number" if not refused.inside:
                return {"error": {**error, "code": refused.status}}
            case "bare" if not refused.inside:
                return {"object": "error", **error, "code": refused.status}
            case "litellm" if not refused.inside:
                return {
                    "error": {**error, "type": refused.code or "None", "code": str(refused.status)}
                }
            case "detail" if refused.param is not None:
                return {"detail": [{"loc": ["body", refused.param], "msg": error["message"]}]}
            case "mistral" if refused.param is not None:
                unknown = {"type": "extra_forbidden", "loc": ["body", refused.param]}
                return {**error, "object": "error", "message": {"detail": [unknown]}, "code": None}
            case "mistral" if not refused.inside:
                return {**error, "object": "error"}
            case "gemini" if not refused.inside:
                named = refused.code or _NAMED.get(refused.status, "UNKNOWN")
                told = {"code": refused.status, "message": error["message"], "status": named}
                return [{"error": told}]
        return {"error": error}


_NAMED = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""Google's names of statuses."""
