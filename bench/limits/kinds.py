"""A task type for each case, so that its items go to its deployment and to no other."""

from bench.limits.cases import OUTPUT_LIMIT, cases
from tierqueue.tasks.submission.declare import item_task
from tierqueue.tasks.submission.prompt import Prompt


def _build(text: str) -> Prompt:
    return Prompt(system="Write about it.", prefix="", question=text)


KINDS = {
    case.name: item_task(case.task, output=None, output_limit=OUTPUT_LIMIT)(_build)
    for case in cases(1, 1)
}
"""By the case's name."""
