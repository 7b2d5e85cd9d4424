"""The cases: a deployment each, its limit at the provider, and what its policy says of it."""

from dataclasses import dataclass
from typing import Literal

WORKERS = 8
"""Worker processes of the one tier."""

OUTPUT_LIMIT = 150
"""The bound of a call's output, in tokens; billed are 50 to 150, log-uniform."""


TRAVEL = 5.0
"""Seconds within which a call reaches its provider where the window is a minute."""


def travel(window: float) -> float:
    """The same of another window, in seconds."""
    return min(TRAVEL, window / 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One deployment. ``limit`` is in requests or tokens of a window.

    ``stated`` in the policy, too; ``told`` in the headers of the provider's replies; ``lowered`` to
    half in the middle. ``outage``: its provider is down for most of the run.
    """

    name: str
    of: Literal["requests", "tokens"]
    limit: int
    stated: bool = False
    told: bool = True
    lowered: bool = False
    outage: bool = False

    @property
    def model(self) -> str:
        """What the sandbox calls it."""
        return f"frontier-mini-{self.name}"

    @property
    def task(self) -> str:
        """The task type of its items."""
        return f"bench.{self.name}"

    @property
    def policys_limit(self) -> str:
        """The name of the limit in the policy."""
        return f"{self.of}_per_minute"


def cases(requests: int, tokens: int) -> list[Case]:
    """All of them, with so many requests and tokens a window."""
    return [
        Case(name="requests-stated", of="requests", limit=requests, stated=True),
        Case(name="tokens-stated", of="tokens", limit=tokens, stated=True),
        Case(name="requests-told", of="requests", limit=requests),
        Case(name="tokens-told", of="tokens", limit=tokens),
        Case(name="requests-found", of="requests", limit=requests, told=False),
        Case(name="lowered-stated", of="requests", limit=requests, stated=True, lowered=True),
        Case(name="lowered-told", of="requests", limit=requests, lowered=True),
        Case(name="outage", of="requests", limit=requests, stated=True, outage=True),
    ]


def policy(wanted: list[Case], port: int) -> str:
    """The policy: a deployment for each case, each with a task type of its own."""
    parts = ['allow_simulated = true\ndefault_sensitivity = "internal"\n\n[retry]\nbase = 0.5\n']
    parts += [
        f"""
[deployments.{case.name}]
tier = "frontier"
engine = "openai"
model = "{case.model}"
tasks = ["{case.task}"]
boundary = "vendor:{case.name}"
base_url = "http://127.0.0.1:{port}/v1"
key_env = "SANDBOX_KEY"
context_window = 2000
simulated = true
timeout = 20
prices = {{ input = "0.50", cache_read = "0.05", output = "2" }}
limits = {{ {f"{case.policys_limit} = {case.limit}" if case.stated else ""} }}
"""
        for case in wanted
    ]
    return "".join(parts)


def sandbox_limits(wanted: list[Case], window: float, *, lowered: bool) -> str:
    """What the sandbox enforces: its own limits, in TOML."""
    return "".join(
        f"""
[[limit]]
model = "{case.model}"
{"rpm" if case.of == "requests" else "tpm"} = {in_force(case, lowered=lowered)}
window = {window}
told = {str(case.told).lower()}
"""
        for case in wanted
    )


def in_force(case: Case, *, lowered: bool) -> int:
    """The limit at the provider."""
    return case.limit // 2 if lowered and case.lowered else case.limit


PLAN = f'seed = 3\n\n[[output]]\nmodel = "*"\nlow = 50\nhigh = {OUTPUT_LIMIT}\n'
"""How many output tokens the sandbox bills."""
