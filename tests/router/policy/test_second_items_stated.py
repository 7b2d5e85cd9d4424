"""What a policy has to state where accepted items are answered a second time."""

import pytest

from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.policy import parse_policy

PILOT = """
[deployments.pilot]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 1000
candidate = true
"""
EXPLORED = "[tasks.t.explore]\nshare = 0.02\n"
CEILING = '[[ceilings]]\nscope = "purpose"\nname = "{}"\nlimit = "1usd"\n'


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (EXPLORED, "nothing bounds what it costs"),
        ('[tasks.t.shadow]\nshare = 1\ndeployment = "pilott"\n', "did you mean"),
        ("[tasks.t.explore]\nshare = 0.9\n", "share"),
        (CEILING.format("shadows"), "shadow"),
        (EXPLORED + CEILING.format("shadow"), 'name = "exploration"'),
    ],
)
def test_second_items_are_bounded_and_go_where_somebody_is(more: str, says: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        parse_policy(PILOT + more, "test")
    assert says in refused.value.message
