"""A model's thoughts ahead of its answer, which are billed and are no part of it.

Servers without a reasoning parser send it in the text. Chat templates may have opened the tag
already, so that only its end is there.
"""

import re

_OPENED = re.compile(
    r"\s*(?:"
    r"<(?P<tag>think|thinking|thought|seed:think)>.*?(?:</(?P=tag)>|\Z)"
    r"|\[THINK\].*?(?:\[/THINK\]|\Z)"
    r"|◁think▷.*?(?:◁/think▷|\Z)"
    r"|<\|channel\|>analysis<\|message\|>.*?(?:<\|channel\|>final<\|message\|>|\Z)"
    r")\s*",
    re.DOTALL,
)
_CLOSED = re.compile(r"(?:(?!</?think>).)*</think>[ \t]*(?:\n\s*|\Z)", re.DOTALL)
_CLOSED_BEFORE_JSON = re.compile(r"\s*[^\s{\[\"`](?:(?!</?think>).)*</think>\s*", re.DOTALL)
_FENCED = re.compile(r"\s*```(?:json|JSON)?\s*\n(?P<json>.*?)\n?\s*```\s*", re.DOTALL)


def spoken(text: str, *, as_json: bool) -> str:
    """``text`` from where the answer begins; empty where the thoughts never end.

    Where JSON was asked for, the fence of a code block around the whole of it is taken off too.
    """
    thought = _OPENED.match(text) or (_CLOSED_BEFORE_JSON if as_json else _CLOSED).match(text)
    answer = text if thought is None else text[thought.end() :]
    fenced = _FENCED.fullmatch(answer) if as_json else None
    return answer if fenced is None else fenced["json"]
