"""Accounts of providers, and what budgets may be called for, as the policy states them."""

from typing import Any

import pytest

from tests.router.specs import Spec, a_spec, policy_of
from tierqueue.router.errors import InvalidPolicy
from tierqueue.router.policy.deployment import Limits

ACCOUNT = "[accounts.openai]\nrequests_per_minute = 500\nin_flight = 40\n"


def specs(**stated: Any) -> list[Spec]:
    return [a_spec("best", account="openai"), a_spec("other", **stated)]


def test_deployments_share_an_account_s_limits() -> None:
    policy = policy_of(specs(account="openai"), ACCOUNT)
    assert policy.limits_of("account:openai") == Limits(requests_per_minute=500, in_flight=40)
    assert policy.limits_of("best") == policy.limits_of("budget:none") == Limits()


def test_an_account_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidPolicy, match=r"deployments.other.account: .*did you mean 'openai'"):
        policy_of(specs(account="opanai"), ACCOUNT)


def test_an_account_of_no_deployment_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match=r"accounts.azure: no deployment"):
        policy_of(specs(), ACCOUNT + "[accounts.azure]\nin_flight = 3\n")


@pytest.mark.parametrize(
    ("more", "nearest"),
    [
        ("[accounts.openai]\nrequests_per_minut = 5\n", "requests_per_minute"),
        (ACCOUNT + "[budgets.acme.limits]\ntokens_minute = 5\n", "tokens_per_minute"),
    ],
)
def test_a_key_that_is_not_known_is_refused_with_the_nearest(more: str, nearest: str) -> None:
    with pytest.raises(InvalidPolicy, match=nearest):
        policy_of(specs(), more)


def test_a_budget_has_limits_beside_its_weight() -> None:
    policy = policy_of(specs(), ACCOUNT + "[budgets.acme]\nlimits = { requests_per_day = 9 }\n")
    assert policy.budgets["acme"].weight == 1.0
    assert policy.limits_of("budget:acme") == Limits(requests_per_day=9)


def test_a_deployment_of_no_account_is_the_same_to_older_workers() -> None:
    plain, named = policy_of(specs(), ACCOUNT), policy_of(specs(account="openai"), ACCOUNT)
    assert plain.deployments["best"].terms == named.deployments["best"].terms
    assert plain.deployments["other"].terms != named.deployments["other"].terms
