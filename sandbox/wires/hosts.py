"""Hosts of models, by the faults file: what each takes of a request and thinks before an answer.

    [[refuses]]               # as hosts do that speak an API in part
    model = "open-*"
    what = ["max_tokens", "json_schema"]
    status = 422              # 400 where nothing is said

    [[reasoning]]             # hidden output tokens before each answer, billed, within the limit
    model = "open-large"
    tokens = 150

``what``: ``max_tokens``, ``max_completion_tokens``, ``json_schema``, ``json_object``, ``system``,
``logprobs``, ``images``. A model that thinks refuses log-probabilities, as OpenAI's do.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from sandbox.wires.call import Call, Json, Refused

KNOWN = frozenset(
    {
        *("max_tokens", "max_completion_tokens", "json_schema", "json_object", "system"),
        *("logprobs", "images"),
    }
)


@dataclass(frozen=True, slots=True)
class Hosts:
    """``refuses`` are (model, what, status), ``thinks`` are (model, tokens); first match holds."""

    refuses: tuple[tuple[str, frozenset[str], int], ...] = ()
    thinks: tuple[tuple[str, int], ...] = ()

    def admit(self, call: Call) -> None:
        """Raise ``Refused`` for what the model's host does not take of this request."""
        if call.logprobs is not None and self.reasoning(call.model):
            raise Refused(403, "You are not allowed to request logprobs from this model")
        for pattern, what, status in self.refuses:
            if fnmatchcase(call.model, pattern):
                for name in sorted(what & call.uses):
                    raise Refused(
                        status,
                        f"Unsupported parameter: '{name}' is not supported with this model.",
                        code="unsupported_parameter",
                    )
                return

    def reasoning(self, model: str) -> int:
        """The tokens that the model thinks before each answer."""
        found = (tokens for pattern, tokens in self.thinks if fnmatchcase(model, pattern))
        return next(found, 0)


def read_hosts(refuses: list[Json], thinks: list[Json]) -> Hosts:
    """The file's rows. Raises ``ValueError`` for anything in them that is not understood."""
    return Hosts(tuple(map(_refusal, refuses)), tuple(map(_thought, thinks)))


def _refusal(row: Json) -> tuple[str, frozenset[str], int]:
    what, status = row.get("what"), row.get("status", 400)
    if row.keys() - {"model", "what", "status"} or not isinstance(row.get("model"), str):
        raise ValueError("faults file: a [[refuses]] has model, what and status")
    if not isinstance(what, list) or not what or not set(what) <= KNOWN:
        raise ValueError(f"faults file: what is a list of {', '.join(sorted(KNOWN))}")
    if status not in (400, 422):
        raise ValueError("faults file: status is 400 or 422")
    return row["model"], frozenset(what), status


def _thought(row: Json) -> tuple[str, int]:
    tokens = row.get("tokens")
    if row.keys() != {"model", "tokens"} or type(tokens) is not int or tokens < 0:
        raise ValueError("faults file: a [[reasoning]] has model and tokens, from 0 up")
    return str(row["model"]), tokens
