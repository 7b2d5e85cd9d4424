"""After a commit: producers hear of every end, the routing stage only where an item goes on."""

from tierqueue.ledger.results.promises import Ending, Ends
from tierqueue.router.lifecycle import State
from tierqueue.workers.process.after_settling import AfterSettling


class Heard:
    """What producers were told of, and how often the routing stage was woken."""

    def __init__(self) -> None:
        self.ends: list[Ends] = []
        self.wakes = 0
        self.after = AfterSettling(self.ends.append, self.wake)

    def wake(self) -> None:
        self.wakes += 1


def ends(count: int) -> Ends:
    ended = [
        Ending(item_id=str(number), state=State.SUCCEEDED, answer={}, error=None)
        for number in range(count)
    ]
    return Ends(ended, [])


def test_the_routing_stage_is_left_alone_where_every_attempt_ended_its_item() -> None:
    heard = Heard()
    heard.after.settles(3)
    heard.after.told(ends(3))
    assert (len(heard.ends), heard.wakes) == (1, 0)


def test_it_is_woken_where_an_item_goes_on() -> None:
    heard = Heard()
    heard.after.settles(3)
    heard.after.told(ends(2))
    heard.after.settles(1)
    heard.after.told(ends(0))
    assert (len(heard.ends), heard.wakes) == (2, 2)


def test_it_is_woken_after_each_commit_of_which_nobody_says_how_much_it_holds() -> None:
    heard = Heard()
    heard.after.told(ends(5))
    assert (len(heard.ends), heard.wakes) == (1, 1)
