"""How ready items are cut into slices: by deployment and prefix, the urgent first."""

from hypothesis import given
from hypothesis import strategies as st

from tierqueue.ledger.lifecycle.flows import URGENT, USUAL
from tierqueue.ledger.records import Fence, ReadyItem
from tierqueue.tasks.broker.slices import Slice, cut


def ready(
    name: str, *, prefix: str, tokens: int = 10, deployment: str = "own", flow: str = USUAL
) -> ReadyItem:
    return ReadyItem(name, Fence(0), "gpu", deployment, prefix, tokens, flow, 5, "sum")


def names(items: list[ReadyItem], most: int) -> list[list[str]]:
    return [list(slice_.items) for slice_ in cut(items, most)]


def test_items_of_one_document_go_together_the_longest_first() -> None:
    items = [
        ready("a1", prefix="a", tokens=10),
        ready("b1", prefix="b"),
        ready("a2", prefix="a", tokens=30),
        ready("b2", prefix="b"),
        ready("a3", prefix="a", tokens=20),
    ]
    assert names(items, 3) == [["a2", "a3", "a1"], ["b1", "b2"]]
    assert names(items, 8) == [["a2", "a3", "a1", "b1", "b2"]]


def test_the_slice_with_the_most_urgent_item_comes_first_whatever_is_shared_behind_it() -> None:
    urgent = ready("urgent", prefix="z")
    rest = [ready(f"a{at}", prefix="a") for at in range(4)]
    assert names([urgent, *rest], 2)[0] == ["urgent"]


def test_deployments_share_no_slice() -> None:
    items = [ready("x", prefix="p"), ready("y", prefix="p", deployment="other")]
    assert [slice_.deployment for slice_ in cut(items, 8)] == ["own", "other"]


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("xy"), st.integers(1, 99))),
    st.integers(1, 7),
)
def test_each_item_is_in_one_slice_and_none_is_too_large(
    stated: list[tuple[str, str, int]], most: int
) -> None:
    items = [
        ready(str(at), prefix=prefix, deployment=deployment, tokens=tokens)
        for at, (prefix, deployment, tokens) in enumerate(stated)
    ]
    slices = list(cut(items, most))
    assert sorted(name for slice_ in slices for name in slice_.items) == sorted(
        item.id for item in items
    )
    assert all(0 < len(slice_.items) <= most for slice_ in slices)
    first = [min(int(name) for name in slice_.items) for slice_ in slices]
    assert first == sorted(first), "urgency decides which slice goes first"


def test_what_somebody_waits_for_goes_first_in_small_slices_of_its_own() -> None:
    usual = [ready(f"b{at}", prefix="p") for at in range(3)]
    urgent = [ready(f"a{at}", prefix="p", flow=URGENT) for at in range(9)]
    slices = list(cut([*usual, *urgent], 64))
    assert [(slice_.urgent, len(slice_.items)) for slice_ in slices] == [
        *((True, 8), (True, 1), (False, 3))
    ]


def test_a_message_says_that_somebody_waits_and_older_ones_do_not() -> None:
    urgent, usual = cut([ready("a", prefix="p", flow=URGENT), ready("b", prefix="p")], 8)
    assert Slice.read(urgent.to_json()) == urgent
    assert Slice.read(usual.to_json()) == usual
    assert "urgent" not in usual.to_json()


def test_items_keep_their_turn_from_slice_to_slice() -> None:
    items = [ready(str(at), prefix="p", tokens=at) for at in range(4)]
    assert names(items, 2) == [["1", "0"], ["3", "2"]]
