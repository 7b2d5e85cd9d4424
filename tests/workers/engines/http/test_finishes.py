"""Why an answer ended, whoever says it and however."""

import pytest

from tierqueue.workers.engines.http.finishes import BROKEN, UNSAID, meaning


@pytest.mark.parametrize(
    ("words", "means"),
    [
        (("stop", "STOP", " end_turn", "eos_token", "tool_calls"), "stop"),
        (("length", "MAX_TOKENS", "model_context_window_exceeded"), "length"),
        (("content_filter", "content_filter: RECITATION", "SAFETY", "refusal"), "filtered"),
        (("repetition",), "repetition"),
        (("error", "cancelled", "insufficient_system_resource"), BROKEN),
        ((None, "", "null", "FINISH_REASON_UNSPECIFIED"), UNSAID),
        (("a_word_of_next_year", "...", 7, ["stop"], {"stop": 1}, "x" * 100_000), "other"),
    ],
)
def test_words_of_all_vendors_mean_one_of_a_few_things(
    words: tuple[object, ...], means: str
) -> None:
    assert [meaning(word) for word in words] == [means] * len(words)
