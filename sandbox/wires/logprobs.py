"""Log-probabilities, made up by hash like the answers, in the form that chat completions give them.

A token is four bytes, as in the counting rule. Where labels of the schema part, the alternatives
are the other labels; anywhere else the answer's own token has nearly all.
"""

import hashlib
import json
import math
from collections.abc import Iterator

from sandbox.answering.described import schema_of
from sandbox.wires.call import BYTES_PER_TOKEN, Call, Json, Refused

MOST = 20
SURE = 0.999
_RATIO = 0.4
"""What each further alternative has of the one before it."""


def alternatives_asked_for(body: Json) -> int | None:
    """How many alternatives are asked for; ``None`` where no log-probabilities are.

    Raises ``Refused`` 400 where OpenAI does.
    """
    wanted, top = body.get("logprobs"), body.get("top_logprobs")
    if wanted is not None and not isinstance(wanted, bool):
        raise Refused(400, "Invalid type for 'logprobs': expected a boolean.")
    if top is None:
        return 0 if wanted else None
    if isinstance(top, bool) or not isinstance(top, int):
        raise Refused(400, "Invalid type for 'top_logprobs': expected an integer.")
    if not wanted:
        raise Refused(
            400, "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        )
    if not 0 <= top <= MOST:
        side, bound = ("below minimum", ">= 0") if top < 0 else ("above maximum", f"<= {MOST}")
        raise Refused(
            400,
            f"Invalid 'top_logprobs': integer {side} value. "
            f"Expected a value {bound}, but got {top} instead.",
        )
    return top


def of(call: Call, text: str) -> Json:
    """The ``logprobs`` of a choice whose content is ``text``."""
    whole, others = text.encode(), [other.encode() for other in _other_answers(call, text)]
    content = []
    for at in range(0, len(whole), BYTES_PER_TOKEN):
        own = whole[at : at + BYTES_PER_TOKEN]
        parted = {
            other[at : at + BYTES_PER_TOKEN]: None
            for other in others
            if other[:at] == whole[:at] and other[at : at + BYTES_PER_TOKEN] != own
        }
        content.append(_token(call, own, at, [piece for piece in parted if piece]))
    return {"content": content, "refusal": None}


def _token(call: Call, own: bytes, at: int, parted: list[bytes]) -> Json:
    seed = hashlib.sha256(f"{call.model}\0{call.prompt}\0{at}".encode("utf-8", "surrogatepass"))
    probability = 0.55 + 0.44 * seed.digest()[0] / 255 if parted else SURE
    pieces = [own, *parted, *(b"~%02d" % filler for filler in range(MOST))]
    shares = [probability]
    shares += [(1 - probability) * (1 - _RATIO) * _RATIO**rank for rank in range(len(pieces) - 1)]
    top = [_piece(*pair) for pair in zip(pieces, shares, strict=True)][: call.logprobs]
    return {**_piece(own, probability), "top_logprobs": top}


def _piece(text: bytes, probability: float) -> Json:
    return {
        "token": text.decode("utf-8", "replace"),
        "logprob": math.log(probability),
        "bytes": list(text),
    }


def _other_answers(call: Call, text: str) -> Iterator[str]:
    """The same answer with each other value of its first choice."""
    schema = schema_of(call)
    try:
        said = json.loads(text)
    except ValueError:
        return
    fields = (schema or {}).get("properties", {})
    if not isinstance(said, dict) or not isinstance(fields, dict):
        return
    for name, field in fields.items():
        choices = field.get("enum") if isinstance(field, dict) else None
        if name in said and isinstance(choices, list):
            for choice in choices:
                yield json.dumps({**said, name: choice}, ensure_ascii=False)
            return
