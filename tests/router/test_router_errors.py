"""The error tree: the drawing, the reasons, and what travels to a producer."""

import json
import pickle
import re

import pytest

from tierqueue.router import errors


def _drawn() -> dict[str, str]:
    """Class name -> its parent's, as the drawing in the module's docstring has them."""
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^(?P<indent> {4}[ │├└─]*)(?P<name>[A-Z]\w+)\b", line)
        if found is None:
            continue
        depth = len(found["indent"])
        above = [ancestor for ancestor in above if ancestor[0] < depth]
        parents[found["name"]] = above[-1][1] if above else "Exception"
        above.append((depth, found["name"]))
    return parents


def _declared() -> dict[str, str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return {
        kind.__name__: kind.__bases__[0].__name__
        for kind in kinds
        if issubclass(kind, errors.TierqueueError)
    }


def test_the_drawing_is_the_real_tree() -> None:
    drawn = _drawn()
    assert len(drawn) > 10
    assert drawn == _declared()


def test_every_dead_letter_has_a_reason_of_its_own() -> None:
    ends = [*errors.DeadLettered.__subclasses__(), *errors.Rejected.__subclasses__()]
    assert len({kind.reason for kind in ends}) == len(ends)
    assert errors.DeadLettered.reason not in errors.BY_REASON
    for reason, kind in errors.BY_REASON.items():
        made = errors.of_reason(reason, "what happened", {"item": "i"})
        assert type(made) is kind
        assert (str(made), made.fields) == ("what happened", {"item": "i"})


def test_a_reason_nobody_declared_is_refused() -> None:
    with pytest.raises(KeyError):
        errors.of_reason("tired", "an item was tired")


@pytest.mark.parametrize("kind", errors.BY_REASON.values())
def test_an_error_is_rebuilt_from_its_args_in_plain_json(
    kind: type[errors.TierqueueError],
) -> None:
    error = kind("message", {"limit": 5, "refusals": [{"why": "x"}]})
    rebuilt = kind(*json.loads(json.dumps(error.args)))
    assert (rebuilt.message, rebuilt.fields) == (error.message, error.fields)
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.message, copied.fields) == (error.message, error.fields)
