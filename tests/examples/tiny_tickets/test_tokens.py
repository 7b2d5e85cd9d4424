"""The tokenizer and the chat template: small letters, one token a label, the ticket alone."""

import pytest

from examples.tiny_tickets import CONTEXT, HUGGING_FACE, tokens
from tierqueue.tasks.kinds.classify import classify

LABELS = ["card_arrival", "Refund_not_showing_up", "age_limit"]
TEXTS = ["Where is my card?", "My card is late", "How old must I be for a card?"]


def template(question: str, system: str = "You sort.") -> str:
    """What the chat template makes of a request, as engines render it."""
    jinja = pytest.importorskip("jinja2")
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    made = jinja.Template(tokens.CHAT_TEMPLATE).render(
        messages=messages, add_generation_prompt=True
    )
    return str(made)


def test_one_training_makes_the_same_tokenizer_again() -> None:
    made = [tokens.make_tokenizer(TEXTS, LABELS).to_str() for _ in range(2)]
    assert made[0] == made[1]


def test_the_opener_the_closer_and_each_label_are_one_token() -> None:
    tokenizer = tokens.make_tokenizer(TEXTS, LABELS)
    for label in LABELS:
        answer = f"{tokens.OPENED}{label}{tokens.CLOSED}{tokens.END}"
        assert tokenizer.encode(answer).tokens == [
            tokens.OPENED,
            label,
            tokens.CLOSED,
            tokens.END,
        ]


def test_the_template_makes_of_the_prompt_of_classify_what_training_showed() -> None:
    text = "WHERE is my Card?  "
    prompt = classify.prompt({"text": text, "labels": LABELS})
    assert template(prompt.prefix + prompt.question, prompt.system) == tokens.rendered(text)


def test_the_template_that_is_shipped_is_this_one() -> None:
    shipped = (HUGGING_FACE / "chat_template.jinja").read_text(encoding="utf-8")
    assert shipped == tokens.CHAT_TEMPLATE


def test_a_request_with_all_labels_fits_the_context_counted_in_bytes() -> None:
    labels = [f"a_label_of_forty_letters_with_the_number_{n}" for n in range(77)]
    prompt = classify.prompt({"text": "x" * 1_000, "labels": labels})
    assert prompt.size < CONTEXT
