"""Stations under another policy: the same engine for the same terms, another one for others."""

from collections.abc import Mapping
from unittest.mock import Mock

import pytest

from tests.tasks.routing.decide.in_force import HOUSE, OPEN, policy_of
from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.workers.engines.engine import Engine
from tierqueue.workers.engines.stations import Station, engines_of, of_tier, renewed


def build(deployment: Deployment, environ: Mapping[str, str]) -> Engine:
    if deployment.key_env not in (None, *environ):
        raise Misconfigured(f"{deployment.name} has no key")
    return Mock(spec=Engine)


def stations(text: str, tier: Tier = Tier.OPEN_WEIGHT) -> dict[str, Station]:
    built, _ = engines_of(of_tier(policy_of(text), tier), build, {"KEY": "x"})
    return {one.name: Station(deployment=one, engine=engine) for one, engine in built}


def test_the_same_terms_keep_their_engine_under_the_new_policy() -> None:
    before, policy = stations(OPEN), policy_of(OPEN + "[retry]\ncalls = 2\n")
    there = renewed(before, policy, Tier.OPEN_WEIGHT, build, {"KEY": "x"})
    assert there.stations["open"].engine is before["open"].engine
    assert there.stations["open"].deployment.policy == policy.digest
    assert there.new == []


def test_other_terms_and_new_deployments_have_new_engines() -> None:
    before = stations(OPEN)
    policy = policy_of(OPEN.replace('"2"', '"3"') + OPEN.replace(".open]", ".second]"))
    there = renewed(before, policy, Tier.OPEN_WEIGHT, build, {"KEY": "x"})
    assert there.stations.keys() == {"open", "second"}
    assert there.stations["open"].engine is not before["open"].engine
    assert len(there.new) == 2


def test_what_is_gone_stays_for_its_batches_and_what_has_no_key_goes() -> None:
    before = stations(OPEN)
    gone = renewed(before, policy_of(HOUSE), Tier.OPEN_WEIGHT, build, {"KEY": "x"})
    assert gone.stations == before
    other = policy_of(OPEN.replace('"KEY"', '"OTHER_KEY"'))
    keyless = renewed(before, other, Tier.OPEN_WEIGHT, build, {"KEY": "x"})
    assert (keyless.stations, keyless.keyless) == ({}, frozenset({"open"}))


def test_an_engine_inside_the_process_is_not_changed_while_it_runs() -> None:
    before = stations(HOUSE, Tier.GPU)
    assert renewed(before, policy_of(HOUSE + OPEN), Tier.GPU, build, {}).new == []
    with pytest.raises(Misconfigured, match="restart it"):
        renewed(before, policy_of(HOUSE.replace("3.60", "4")), Tier.GPU, build, {})
