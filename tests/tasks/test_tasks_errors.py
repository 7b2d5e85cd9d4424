"""What producers catch."""

import tierqueue.tasks
from tierqueue.router.errors import BY_REASON
from tierqueue.tasks import errors


def test_every_error_that_get_can_raise_has_a_name_that_producers_import() -> None:
    raised = {kind.__name__: kind for kind in BY_REASON.values()}
    assert raised == {name: getattr(errors, name) for name in raised}
    assert raised.keys() <= set(errors.__all__)


def test_the_error_of_a_refused_answer_is_not_the_verdict_of_the_same_name() -> None:
    assert issubclass(errors.Rejected, errors.DeadLettered)
    assert not issubclass(tierqueue.tasks.Rejected, BaseException)
