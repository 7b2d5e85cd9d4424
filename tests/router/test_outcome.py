"""What a call can come back as, and the usage it reports."""

from dataclasses import fields, replace

from tierqueue.router.outcome import INPUT_CLASSES, TOKEN_CLASSES, Usage


def test_every_count_of_tokens_is_a_token_class() -> None:
    counts = {field.name for field in fields(Usage) if field.type in (int, "int")}
    assert counts == set(TOKEN_CLASSES)


def test_the_total_input_is_the_sum_of_the_input_classes() -> None:
    usage = replace(Usage(), **{name: 10**place for place, name in enumerate(TOKEN_CLASSES)})
    assert usage.total_input == sum(getattr(usage, name) for name in INPUT_CLASSES) == 1_111
