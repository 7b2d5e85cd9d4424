"""A labelled set: what is right stays out of sight, and what is compared is said."""

from pathlib import Path
from typing import Any

import pytest

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import Tier
from tierqueue.tasks import classify
from tierqueue.tasks.evaluation.labelled_set import LabelledSet, compared, same
from tierqueue.tasks.files.source import Reading

FIXED = {"labels": ["card", "login"]}


def labelled(tmp_path: Path, content: str, **stated: Any) -> LabelledSet:
    path = tmp_path / "set.csv"
    path.write_text(content, encoding="utf-8")
    return LabelledSet(classify, path, FIXED, "label", **stated)


@pytest.mark.parametrize("column", ["text", None])
def test_what_is_right_and_the_group_are_no_part_of_what_is_asked(
    tmp_path: Path, column: str | None
) -> None:
    content = "text,label,tenant\nMy card,card,acme\nI log in,login,\n"
    found = labelled(tmp_path, content, column=column, group="tenant")
    assert found.truths == {0: "card", 1: "login"}
    assert found.groups == {0: "acme", 1: ""}
    made = [new for new, death in found.submission(Tier.GPU).made() if death is None]
    assert [new.arguments["text"] for new in made] == ["My card", "I log in"]
    assert [new.pinned for new in made] == ["gpu", "gpu"]
    assert [new.pinned for new, _ in found.submission(None).made()] == [None, None]
    assert "acme" not in str(made)


def test_a_set_that_does_not_say_what_is_right_is_refused_before_anything_is_paid(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidItem, match="line 3: label is empty"):
        labelled(tmp_path, "text,label\nMy card,card\nI log in,\n", column="text")
    with pytest.raises(InvalidItem, match="did you mean"):
        labelled(tmp_path, "text,lable\nMy card,card\n", column="text")
    with pytest.raises(InvalidItem, match="cannot say what is right"):
        labelled(tmp_path, "text,label\nMy card,card\n", column="label")
    with pytest.raises(InvalidItem, match="name a file"):
        LabelledSet(classify, Path("-"), FIXED, "label", reading=Reading())


def test_what_is_compared_is_the_field_or_all_but_the_confidence() -> None:
    assert compared({"label": "a", "confidence": 0.5}, None) == "a"
    assert compared({"label": "a", "why": "b"}, None) == {"label": "a", "why": "b"}
    assert compared({"label": "a", "why": "b"}, "why") == "b"
    assert compared({"label": "a"}, "why") is None


@pytest.mark.parametrize(
    ("answer", "right", "agree"),
    [
        ("card", " card ", True),
        ("card", "login", False),
        (5, "5", True),
        (5, 5.0, True),
        (True, "true", True),
        (True, "True", True),
        ({"a": 1}, '{"a": 1}', True),
        ({"a": 1}, '{"a": 2}', False),
        ("5", 5, True),
        (None, "card", False),
    ],
)
def test_a_cell_says_the_same_as_the_value_it_stands_for(
    answer: object, right: object, agree: bool
) -> None:
    assert same(answer, right) is agree
