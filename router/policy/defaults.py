"""Defaults of task types: their items' demands where none are stated, and their floors."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Demands, Latency, Risk, Sensitivity, Tier
from tierqueue.router.money import NanoUSD, parse_usd
from tierqueue.router.policy.deployment import Limits
from tierqueue.router.policy.duration import SECOND_US
from tierqueue.router.policy.prices import Duration, Name, Table

DEFAULT_DEADLINE_US = 24 * 3_600 * SECOND_US
"""Microseconds an item has where neither it nor its task type says."""

DEFAULT_BUDGET = "default"


def _money(text: Any) -> NanoUSD:
    try:
        return parse_usd(text)
    except InvalidItem as wrong:
        raise ValueError(wrong.message) from None


Money = Annotated[NanoUSD, BeforeValidator(_money)]
"""Written in dollars, kept in nano-dollars."""


LONGEST_REUSE_US = 30 * 24 * 3_600 * SECOND_US
"""Microseconds that an answer may be reused for at the most."""


def _reusable(microseconds: int) -> int:
    if microseconds > LONGEST_REUSE_US:
        raise ValueError("an answer is reused for 30d at the most")
    return microseconds


ReusableFor = Annotated[Duration, AfterValidator(_reusable)]


class BudgetPolicy(Table):
    """What a budget's work is worth beside that of others on the same tier."""

    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Its share of a tier for which several budgets have work: one with 2 gets twice what one with
    1 gets. What a budget leaves, the others share."""

    limits: Limits = Limits()
    """What it may be called for, over all deployments and workers."""


class SurrogateRule(Table):
    """A surrogate that answers before the cheapest tier what it is certified for."""

    file: str = Field(min_length=1)
    """Where its artefact lies, for the routing stage; a relative path is one from the policy's
    folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The SHA-256 that the file must have, in hex."""

    audit: float = Field(default=0.02, ge=0.01, le=1)
    """Share of what it would answer that a model answers all the same, to be compared; with 1 it
    answers nothing and is only measured."""

    embedding: str | None = Field(default=None, min_length=1)
    """The folder of the embedding that it was trained with, if any; a relative path as above."""

    @property
    def version(self) -> str:
        """As receipts and audits call it."""
        return f"surrogate-{self.sha256[:12]}"


class PredictorRule(Table):
    """A predictor that says of each item how likely two tiers are right."""

    file: str = Field(min_length=1)
    """Where its artefact lies, for the routing stage and wherever a route is foreseen; a relative
    path is one from the policy's folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """The SHA-256 that the file must have, in hex."""

    mistake: Money | None = None
    """What a wrong answer costs; where nothing is stated, it is expected to be refused, and costs
    what the tier above does."""

    @property
    def version(self) -> str:
        """As receipts call it."""
        return f"gain-{self.sha256[:12]}"


class PromptRule(Table):
    """Another instruction than the task type's own, that a share of its items is asked under."""

    system: str = Field(min_length=1, max_length=100_000)
    """The instruction, in place of the one that the task type states."""

    share: float = Field(gt=0, le=1)
    """The share of items, drawn by a hash of their ids; an item keeps the prompt it was drawn
    for."""

    @property
    def version(self) -> str:
        """As receipts and the ledger call it."""
        return prompt_version(self.system)


def prompt_version(system: str) -> str:
    """The name of an instruction: the beginning of its SHA-256."""
    return f"prompt-{sha256(system.encode()).hexdigest()[:12]}"


class RuleTable(Table):
    """Words or a table that answer what they match before any tier, without a model: ``words``, or
    ``file`` and ``sha256``.
    """

    name: str = Field(default="rules", min_length=1)
    """What receipts call it."""

    words: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """A word or a phrase, and the label of a text in which it stands: whole words one after the
    other, in capitals or not. A text with phrases of two labels goes to the model."""

    file: str | None = Field(default=None, min_length=1)
    """Where a table lies, for the routing stage and ``policy check``; a relative path is one from
    the policy's folder. CSV in UTF-8, with a column that is called as ``argument`` says and has
    whole texts, in capitals or not, and after it ``label``, or ``output`` with JSON."""

    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The SHA-256 that the file must have, in hex."""

    argument: str = Field(default="text", min_length=1)
    """The argument of the task type that is looked at."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """The other arguments of the calls that it answers, such as ``labels``; what is not stated has
    its default there. A call with others goes to the model."""

    agreement: float = Field(ge=0.5, le=1)
    """Share of its answers that are to be the same as the model's. Where its audits say that it is
    less, it is switched off."""

    audit: float = Field(default=0.02, ge=0.01, le=1)
    """Share of what it would answer that a model answers all the same, to be compared; with 1 it
    answers nothing and is only measured."""

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if bool(self.words) == (self.file is not None):
            raise ValueError("state either words, or file and sha256")
        if (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 are stated together")
        if self.argument in self.arguments:
            raise ValueError(f"arguments.{self.argument}: is the argument that is looked at")
        return self

    @property
    def version(self) -> str:
        """As receipts and audits call it: another one where anything is that it answers by."""
        said = [self.words, self.sha256, self.argument, self.arguments]
        text = json.dumps(said, sort_keys=True, default=str)
        return f"rule-{sha256(text.encode()).hexdigest()[:12]}"


class ReviewRule(Table):
    """Has a person decide what no tier's answer was good enough for, instead of a dead letter."""

    within: Duration | None = None
    """How long the person may take, at the most until the item's deadline; where nothing is stated,
    until then."""

    assignee: str | None = Field(default=None, min_length=1)
    """Whose such items are; where nothing is stated, anybody's."""


class ExploreRule(Table):
    """Has some accepted items answered by another tier too, to see how that does."""

    share: float = Field(gt=0, le=0.5)
    """The share of accepted items, drawn by a hash of the item's id. What they cost is bounded by a
    ceiling of the scope ``purpose`` that has to be stated."""


class ShadowRule(Table):
    """Has some accepted items answered by one deployment too, to see how that would do."""

    deployment: str = Field(min_length=1)
    """Which deployment; one that is a ``candidate`` serves nobody else."""

    share: float = Field(gt=0, le=1)
    """The share of accepted items, drawn by a hash of the item's id. What they cost is bounded by a
    ceiling of the scope ``purpose`` that has to be stated."""


class TaskDefaults(Table):
    """What items of a task type demand where they do not say."""

    risk: Risk | None = None
    """Who is hurt by a wrong answer; where nobody says, ``auto_applied``."""

    sensitivity: Sensitivity | None = None
    """Who may see the payload; where nobody says, ``default_sensitivity``."""

    latency: Latency | None = None
    """Whether somebody waits for the answer; where nobody says, ``background``."""

    deadline: Duration | None = None
    """How long after its submission an item may end; where nobody says, ``24h``."""

    floor: Tier | None = None
    """The lowest tier that an item may be done by; where nobody says, ``gpu``."""

    max_cost: Money | None = None
    """The most an item may cost over all its calls; where nobody says, the ceilings alone hold."""

    budget: Name | None = None
    """The budget that pays; where nobody says, ``default``."""

    reuse: ReusableFor | None = None
    """How long an accepted answer may answer an item that asks the same, at most ``30d``; where
    nothing is stated, each item is answered by itself."""

    rules: RuleTable | None = None
    """Words or a table that answer what they match; where nothing is stated, nothing does."""

    surrogate: SurrogateRule | None = None
    """A surrogate that answers what it is certified for; where nothing is stated, none does."""

    predictor: PredictorRule | None = None
    """A predictor that has a part in where items go; where nothing is stated, none has."""

    prompt: PromptRule | None = None
    """Another instruction, to be compared with the task type's own; where nothing is stated, all
    items are asked under that."""

    review: ReviewRule | None = None
    """A person decides what was refused at the highest tier, or is not sure enough; where nothing
    is stated, it dies."""

    explore: ExploreRule | None = None
    """Some accepted items are answered by another tier too; where nothing is stated, none is."""

    shadow: ShadowRule | None = None
    """Some accepted items are answered by one deployment too; where nothing is stated, none is."""

    on_ceiling: Tier | None = None
    """The tier an item falls back to where a ceiling can never cover it; without it the item
    dies."""

    on_throttle: Tier | None = None
    """The tier an item falls back to where the provider answers its call with "not now"; without it
    the item waits."""

    on_outage: Tier | None = None
    """The tier an item falls back to where no deployment of its own serves; without it the item
    waits."""

    @model_validator(mode="after")
    def _falls_no_deeper_than_its_floor(self) -> Self:
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(self, name)
            if tier is not None and TIERS.index(tier) < TIERS.index(self.floor or tier):
                raise ValueError(f"{name} = {tier.value!r} is below the floor {self.floor!r}")
        return self


class FloorRule(Table):
    """No item of this task type and risk is done below ``floor``."""

    task: str | None = None
    """The task type it holds for; where nothing is stated, all."""

    risk: Risk | None = None
    """The risk it holds for; where nothing is stated, all."""

    floor: Tier
    """The lowest tier."""


def floor_of(
    demands: Demands, risk: Risk, task: str, usual: TaskDefaults, rules: Sequence[FloorRule]
) -> Tier:
    """The highest of the item's own floor, or its task type's, and of every rule that matches."""
    floors = [
        rule.floor for rule in rules if rule.task in (None, task) and rule.risk in (None, risk)
    ]
    return max([demands.floor or usual.floor or Tier.GPU, *floors], key=TIERS.index)
