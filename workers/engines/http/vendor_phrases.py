"""Phrases in the errors of vendors and servers where no code says it, in lower case.

A phrase counts at the beginning of a message alone, after the words that some put before it: what
stands further on may quote the request. ``says`` is the one place that looks for them.
"""

import re
from collections.abc import Iterable

_LEAD = (
    r"(?:<\d{3}> |\[?\d{3}\]?[:,]? |error code: \d{3} - |(?:input )?validation error: "
    r"|invalid (?:request|params)[:,] |[a-z][a-z.]{0,80}(?:error|exception|parameter): "
    r"|error: ){0,3}"
)
"""Of gateways, DashScope, MiniMax, Moonshot, TGI."""

_NAME = r"[\w./:@-]{1,120}"
_MODEL = rf"(?:{_NAME}|`{_NAME}`|'{_NAME}'|\"{_NAME}\")"


def _begins(*phrases: str) -> re.Pattern[str]:
    return re.compile(f"{_LEAD}(?P<phrase>{'|'.join(phrases)})")


TOO_LONG = _begins(
    r"(?:(?:this|the|your) (?:model|endpoint)'?s )?maximum (?:context|prompt) length is",
    r"the model's context length is",
    r"you passed \d+ input tokens",
    r"(?:the |your )?(?:prompt|input)(?: \(\d+ tokens\))? is (?:too long|longer than)",
    r"the (?:decoder )?prompt \(length \d+\) is longer than",
    r"(?:prompt|input) too long",
    r"(?:the |this |your )?(?:prompt|input|request) (?:length )?exceeds? (?:the )?"
    r"(?:model'?s )?(?:available |maximum )?context (?:window|size|length)",
    r"(?:the )?(?:input |requested )?token count (?:\(\d+\) |of \d+ )?exceeds",
    r"(?:your )?request exceeded model token limit",
    r"context (?:length|window) (?:exceeded|exceeds limit)",
    r"prompt contains \d+ tokens.{0,40} too large for model with \d",
    r"the number of tokens to keep from the initial prompt is greater than the context length",
    r"trying to keep the first \d+ tokens when context",
    r"(?:please )?reduce the length of the (?:messages|prompt|input)",
    r"range of input length should be",
    r"`?inputs`? tokens \+ `?max_new_tokens`? must be",
)
"""Anthropic, OpenAI, Gemini, Mistral, Groq, xAI, OpenRouter, Fireworks, Bedrock, DashScope, vLLM,
SGLang, TGI, llama.cpp, LM Studio, Ollama of a context window that is too small."""

WITHHELD = _begins(
    r"output blocked by content filtering policy",
    r"(?:the|your) (?:response|prompt) was filtered",
)

NO_QUOTA = _begins(
    r"your credit balance is too low",
    r"insufficient (?:account )?balance",
    r"you exceeded your current quota",
    r"you have reached your specified api usage limits",
    r"(?:gemini api free tier is not available in your country\. )?please enable billing",
    r"account \S{1,99} is suspended",
)
"""Anthropic, DeepSeek, Gemini, Fireworks and others of an account without money, or at the limit
its owner set: Anthropic and Gemini with a 400, Fireworks with a 412."""

UNAUTHORIZED = _begins(
    r"api key (?:not valid|not found|expired)",
    r"(?:invalid|incorrect) api key",
    r"user location is not supported",
    r"(?:this|your|the) organization has been (?:disabled|restricted)",
)
"""Gemini and others of a key that may not call, Gemini with a 400."""

NO_MODEL = _begins(
    rf"{_NAME} is not a valid model",
    r"invalid model[: ]",
    r"unknown model",
    rf"(?:the |this )?models?[ /:]{{1,2}}(?:{_MODEL} )?"
    r"(?:(?:does )?not exist|(?:was |is )?not found|has been (?:decommissioned|retired))",
)
"""OpenRouter, Mistral, DeepSeek, Ollama and others of a model that is not there, with a 400."""


def says(phrases: re.Pattern[str], messages: Iterable[str], asked: Iterable[str]) -> bool:
    """Whether one of ``messages`` begins with one of ``phrases``, and no text that was ``asked``
    holds the same words: what a message may have from the request decides nothing.
    """
    found = (phrases.match(message.lower().lstrip()) for message in messages)
    said = [_letters(match["phrase"]) for match in found if match]
    if not said:
        return False
    sent = [_letters(text) for text in asked]
    return any(not any(words in text for text in sent) for words in said)


def _letters(text: str) -> str:
    # However a quotation is broken into lines, escaped or put into capitals.
    return "".join(filter(str.isalnum, text.lower()))
