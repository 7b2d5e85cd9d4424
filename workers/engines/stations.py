"""Stations: what each deployment of a tier is worked with, under one policy and the next."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from tierqueue.ledger.lifecycle.claims import Claimant
from tierqueue.router.errors import Misconfigured
from tierqueue.router.item import Tier
from tierqueue.router.policy.deployment import Deployment
from tierqueue.router.policy.policy import Policy
from tierqueue.workers.engines.engine import Engine

_log = structlog.get_logger(__name__)

BuildEngine = Callable[[Deployment, Mapping[str, str]], Engine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """What one deployment is worked with in this process."""

    deployment: Deployment
    engine: Engine
    counted: bool = True
    """Whether what its calls cost counts towards ceilings."""

    def claimant(self, worker: str, *, lease_us: int) -> Claimant:
        """The worker of that name as it claims items for calls of this deployment."""
        deployment = self.deployment
        return Claimant(
            worker=worker,
            tier=deployment.tier.value,
            deployment=deployment.name,
            provider=deployment.provider,
            metered=deployment.metered,
            counted=self.counted,
            by_the_hour=self.counted and deployment.gpu_hour is not None,
            lease_us=lease_us,
            policy=deployment.policy,
            terms=deployment.terms,
            flex_us=0 if deployment.flex is None else deployment.flex.least,
        )


@dataclass(frozen=True, slots=True)
class StationChange:
    """Stations under another policy; ``new`` are engines that are not started yet."""

    stations: Mapping[str, Station]
    new: Sequence[Engine]
    keyless: frozenset[str]


def of_tier(policy: Policy, tier: Tier) -> list[Deployment]:
    """The deployments of a tier."""
    return [one for one in policy.deployments.values() if one.tier is tier]


def engines_of(
    deployments: Sequence[Deployment], build: BuildEngine, environ: Mapping[str, str]
) -> tuple[list[tuple[Deployment, Engine]], Mapping[str, Misconfigured]]:
    """The engines of all that ``environ`` has a key for, and why each other one has none."""
    built: list[tuple[Deployment, Engine]] = []
    refused: dict[str, Misconfigured] = {}
    for deployment in deployments:
        try:
            built.append((deployment, build(deployment, environ)))
        except Misconfigured as error:
            refused[deployment.name] = error
            _log.error("deployment_without_key", deployment=deployment.name, why=error.message)
    return built, refused


def renewed(
    stations: Mapping[str, Station],
    policy: Policy,
    tier: Tier,
    build: BuildEngine,
    environ: Mapping[str, str],
) -> StationChange:
    """The stations of ``policy``: where it says the same of a deployment, with the same engine.

    A deployment that is no more in it stays as it was, for what was handed over to its batches.
    Raises ``Misconfigured`` where an engine inside this process would have to be another one.
    """
    kept: dict[str, Station] = {}
    others: list[Deployment] = []
    for deployment in of_tier(policy, tier):
        station = stations.get(deployment.name)
        if station is not None and station.deployment.terms == deployment.terms:
            counted = policy.counts(deployment)
            kept[deployment.name] = replace(station, deployment=deployment, counted=counted)
        elif deployment.engine == "vllm":
            raise Misconfigured(
                f"the engine of {deployment.name} runs inside this process: restart it to load"
                " another one",
                {"deployment": deployment.name},
            )
        else:
            others.append(deployment)
    built, refused = engines_of(others, build, environ)
    for deployment, engine in built:
        kept[deployment.name] = Station(
            deployment=deployment, engine=engine, counted=policy.counts(deployment)
        )
    there = {name: station for name, station in stations.items() if name not in refused}
    return StationChange({**there, **kept}, [engine for _, engine in built], frozenset(refused))
