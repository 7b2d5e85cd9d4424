"""Which texts rules match: whole words in their order, or a whole text, however it is written."""

import pytest

from tierqueue.router.rules.matching import AnswerTable, Phrases, key_of, words_of

PHRASES = Phrases(
    {
        words_of(phrase): label
        for phrase, label in {
            "lost my card": "card",
            "card": "card",
            "café": "food",
            "cannot log in": "login",
            "c#": "code",
        }.items()
    }
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I LOST my card!", "card"),
        ("(card)", "card"),
        ("the cards", None),
        ("discard", None),
        ("I lost it, my card", "card"),
        ("I cannot\n log  in.", "login"),
        ("I cannot really log in", None),
        ("I lost my card and cannot log in", None),
        ("im Cafe\u0301", "food"),
        ("im Cafe", None),
        ("in C# please", "code"),
        ("in C please", None),
        ("", None),
        ("…", None),
    ],
)
def test_a_phrase_matches_its_words_one_after_the_other_and_two_labels_none(
    text: str, label: str | None
) -> None:
    assert PHRASES.answer(text) == label


def test_a_table_matches_whole_texts_in_capitals_and_other_spaces_too() -> None:
    listed = AnswerTable({key_of("Straße 5, Köln"): "here"})
    assert listed.answer("  STRASSE 5,\tKo\u0308ln\n") == "here"
    assert listed.answer("Straße 5 Köln") is None
    assert listed.answer("Straße 5, Köln.") is None
