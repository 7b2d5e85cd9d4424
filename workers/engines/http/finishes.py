"""Finishes of answers: one meaning for the words of all who speak either protocol."""

import re

BROKEN = "broken"
"""The provider stopped half-way, by a fault of its own."""

UNSAID = "unsaid"
"""No reason was given."""

_STOP = "stop stopped eos eos_token end end_turn stop_sequence stop_token complete completed done"
_CALLED = "tool_calls tool_call tool_use function_call"
_LENGTH = (
    "length max_tokens max_output_tokens max_length max_new_tokens model_length token_limit"
    " model_context_window_exceeded context_length_exceeded"
)
_FILTERED = (
    "content_filter content_filtered filtered refusal safety recitation blocklist blocked"
    " prohibited_content spii image_safety model_armor guardrail_intervened sensitive language"
)
_BROKEN = (
    "error abort aborted cancelled canceled failed failure timeout network_error"
    " insufficient_system_resource incomplete"
)

_MEANING = {
    word: meaning
    for words, meaning in (
        (f"{_STOP} {_CALLED}", "stop"),
        (_LENGTH, "length"),
        (_FILTERED, "filtered"),
        ("repetition", "repetition"),
        (_BROKEN, BROKEN),
        ("null none unspecified finish_reason_unspecified", UNSAID),
    )
    for word in words.split()
}


def meaning(said: object) -> str:
    """One of ``stop``, ``length``, ``repetition``, ``filtered``, ``other`` (an unknown word),
    ``BROKEN`` or ``UNSAID``.
    """
    if said is None or said == "":
        return UNSAID
    # Gemini's endpoint for OpenAI's protocol sends "content_filter: RECITATION".
    word = re.match(r"\s*(\w{1,64})", said) if isinstance(said, str) else None
    return "other" if word is None else _MEANING.get(word[1].lower(), "other")
