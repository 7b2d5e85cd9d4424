"""Items with images: who takes them, what is held for them, and what is said where nobody does."""

from typing import Any

import pytest

from tests.router.specs import GPU, an_item
from tierqueue.router.choose import Conditions, choose
from tierqueue.router.errors import CostCeilingExceeded, InvalidPolicy, NoRoute
from tierqueue.router.item import Demands, Sensitivity, WorkItem
from tierqueue.router.money import NanoUSD
from tierqueue.router.policy.lanes import Lane
from tierqueue.router.policy.policy import Policy, parse_policy
from tierqueue.router.route import Route
from tierqueue.router.signals import measure

TEXT = """
[deployments.small]
tier = "open_weight"
engine = "openai"
model = "small"
base_url = "http://127.0.0.1:1/v1"
boundary = "vendor:small"
key_env = "KEY"
context_window = 32768
prices = { input = "0.10", output = "0.10" }
"""
EYES = """
[deployments.eyes]
tier = "frontier"
profile = "openai"
model = "gpt-4o"
context_window = 128000
prices = { input = "2.50", output = "10" }
"""
HOUSE = """
[deployments.house]
tier = "gpu"
engine = "vllm"
model = "m"
boundary = "house"
context_window = 8192
gpu_hour = "2"
"""
PICTURE = (1024, 1024)


def chosen(text: str, *images: tuple[int, int], **stated: Any) -> Any:
    item: WorkItem = an_item(prompt_bytes=100, output_limit=10, images=images, **stated)
    return choose(item, measure(item, {}), parse_policy(text, "test"), Conditions(now=0))


def test_without_images_the_cheapest_takes_it() -> None:
    assert chosen(TEXT + EYES).deployment == "small"


def test_with_images_one_that_sees_takes_it_and_its_tokens_are_held() -> None:
    route = chosen(TEXT + EYES + "vision = true\n", PICTURE, PICTURE)
    assert isinstance(route, Route)
    assert route.deployment == "eyes"
    text = measure(an_item(prompt_bytes=100, output_limit=10), {}).input_tokens_bound
    assert route.input_tokens == text + 2 * 765
    assert route.bound == route.input_tokens * 2_500 + 10 * 10_000
    assert "takes no images" in next(
        refusal.why for refusal in route.refusals if refusal.deployment == "small"
    )


def test_where_nobody_sees_there_is_no_route_and_the_nearest_change_says_what_would_do() -> None:
    refused = chosen(TEXT + EYES, PICTURE)
    assert isinstance(refused, NoRoute)
    assert "takes no images" in refused.message
    assert "small would do it without its images" in refused.message
    assert "`vision = true`" in refused.message
    assert {refusal["rule"] for refusal in refused.fields["refusals"]} == {"vision"}


def test_images_that_a_max_cost_does_not_cover_are_not_sent() -> None:
    text = TEXT + EYES + "vision = true\n"
    demands = Demands(sensitivity=Sensitivity.INTERNAL, floor=GPU, max_cost=NanoUSD(2_000_000))
    assert isinstance(chosen(text, demands=demands), Route)
    assert isinstance(chosen(text, PICTURE, demands=demands), CostCeilingExceeded)


def test_images_that_fill_the_context_window_are_not_sent() -> None:
    text = TEXT + EYES.replace("128000", "1024") + "vision = true\n"
    refused = chosen(text, PICTURE)
    assert isinstance(refused, NoRoute)
    assert "do not fit its context window of 1024" in refused.message


def test_an_item_with_images_goes_in_a_batch_as_others_do() -> None:
    batch = "\n[deployments.eyes.batch]\nprices = { input = '1.25', output = '5' }\n"
    text = EYES + "vision = true\n" + batch
    assert chosen(text).lane is Lane.BATCH
    route = chosen(text, PICTURE)
    assert route.lane is Lane.BATCH
    text_tokens = measure(an_item(prompt_bytes=100, output_limit=10), {}).input_tokens_bound
    assert route.input_tokens == text_tokens + 765
    assert route.bound == route.input_tokens * 1_250 + 10 * 5_000


def stated(more: str, engine: str = EYES) -> Policy:
    return parse_policy(engine + more, "test")


@pytest.mark.parametrize(
    ("engine", "more", "why"),
    [
        (EYES, "image_tokens = 9\n", "needs vision = true"),
        (EYES.replace("gpt-4o", "gpt-9"), "vision = true\n", "state image_tokens"),
        (EYES, "vision = true\n[deployments.eyes.redact]\nkinds = ['email']\n", "cannot be"),
        (
            EYES,
            "vision = true\n[redaction.'vendor:*']\nkinds = ['email']\n",
            "deployments.eyes: .*cannot be",
        ),
        (HOUSE, "vision = true\n", "state image_tokens"),
    ],
)
def test_a_policy_that_cannot_keep_what_it_says_of_images_is_refused(
    engine: str, more: str, why: str
) -> None:
    with pytest.raises(InvalidPolicy, match=why):
        stated(more, engine)


def test_a_model_that_no_document_names_is_taken_with_what_is_stated() -> None:
    policy = stated("vision = true\nimage_tokens = 4000\n", EYES.replace("gpt-4o", "gpt-9"))
    rule = policy.deployments["eyes"].image_rule
    assert rule is not None
    assert rule.tokens(10, 10) == 4_000


def test_an_older_release_that_knows_nothing_of_images_agrees_where_none_is_stated() -> None:
    plain = stated("").deployments["eyes"]
    assert stated("vision = true\n").deployments["eyes"].terms != plain.terms
