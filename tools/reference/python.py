"""The page of what producers and authors of task types import: from ``tierqueue.tasks``, its
``errors`` and its ``testing``.
"""

from typing import Annotated, Any, get_origin

from tierqueue import tasks
from tierqueue.tasks import ItemTask, errors, testing
from tools.reference import markdown

_INTRODUCTION = """
What producers and authors of task types import: `from tierqueue.tasks import classify`, and below
[errors](#errors) and [the kit for tests](#for-tests). Nothing else is promised to stay where it is.
"""

_ERRORS = """
`from tierqueue.tasks import errors`, then `except errors.CostCeilingExceeded as error`. Each has a
`message` for a person and `fields` for a program. A call raises `InvalidItem`, `Misconfigured` or
`LedgerMismatch`; `.get()` raises what `DeadLettered` is the base of, by the dead letter's reason.
"""

_TESTS = """
`from tierqueue.tasks.testing import answering`: needs no broker, no ledger, no policy and no model.
"""

_KIT = (testing.Call, testing.Calls, testing.answering, testing.recorded)


def names() -> dict[str, str]:
    """Each name that is exported, and where it is defined."""
    return {name: _home(name, getattr(tasks, name)) for name in tasks.__all__}


def about(name: str) -> str:
    """What a name is, in its docstring's first sentence."""
    exported = getattr(tasks, name)
    return markdown.sentence((_mark(exported) or exported).__doc__)


def page() -> str:
    """The whole page; the site puts each name's signature and docstrings where ``:::`` stands."""
    found = sorted(names().items())
    table = markdown.table(
        ("name", "what it is"), ((f"[`{name}`](#{home})", about(name)) for name, home in found)
    )
    parts = [f"::: {home}" for _, home in found]
    raised = [getattr(errors, name) for name in errors.__all__]
    return markdown.page(
        "Task types and answers",
        _INTRODUCTION,
        table,
        *parts,
        "## Errors",
        _ERRORS,
        markdown.table(
            ("error", "reason", "what it says"),
            (
                (f"`{kind.__name__}`", getattr(kind, "reason", ""), markdown.sentence(kind.__doc__))
                for kind in raised
            ),
        ),
        "## For tests",
        _TESTS,
        *(f"::: {one.__module__}.{one.__name__}" for one in _KIT),
    )


def _home(name: str, exported: Any) -> str:
    if (mark := _mark(exported)) is not None:
        return f"{mark.__module__}.{name}"
    defined = exported.build if isinstance(exported, ItemTask) else exported
    return f"{defined.__module__}.{defined.__name__}"


def _mark(exported: Any) -> Any:
    """What marks a type of arguments (``Annotated``): it stands beside it and says what it is."""
    return exported.__metadata__[0] if get_origin(exported) is Annotated else None
