"""The demands any item may carry, checked at the call."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tierqueue.router.duration import parse_duration
from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import TIERS, Fallback, Latency, Risk, Sensitivity, Tier
from tierqueue.router.money import NanoUSD, parse_usd
from tierqueue.tasks.outside import Text

_MOST_MONEY = 2**63 - 1
"""The largest whole number both databases keep exactly."""


def _money(value: Any) -> NanoUSD:
    try:
        amount = parse_usd(value)
    except InvalidItem as error:
        raise ValueError(error.message) from None
    if amount > _MOST_MONEY:
        raise ValueError(f"{value!r} is more than the books can hold")
    return amount


def _moment(value: Any) -> int:
    """As ``_moment_of``; a time that no calendar has is an error like any other."""
    try:
        return _moment_of(value)
    except (OverflowError, OSError):
        raise ValueError("it is beyond any calendar") from None


def _moment_of(value: Any) -> int:
    """A time as epoch microseconds: a datetime or its ISO text, a duration, or seconds from now."""
    if isinstance(value, bool):
        raise ValueError("write a deadline like 30s, 5m, 24h, 7d, in seconds, or as a datetime")
    now = datetime.now(UTC)
    if isinstance(value, str):
        try:
            value = timedelta(microseconds=parse_duration(value))
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        value = timedelta(seconds=value)
    if isinstance(value, timedelta):
        value = now + value
    if not isinstance(value, datetime):
        raise ValueError("write a deadline like 30s, 5m, 24h, 7d, in seconds, or as a datetime")
    at = value if value.tzinfo else value.replace(tzinfo=UTC)
    return round(at.timestamp() * 1_000_000)


Moment = Annotated[int, BeforeValidator(_moment)]
Money = Annotated[NanoUSD, BeforeValidator(_money)]


class StatedDemands(BaseModel):
    """What a caller states; ``None`` is "not stated" and the policy's defaults apply.

    ``deadline`` and ``not_before`` become epoch microseconds, ``max_cost`` nano-dollars;
    ``priority`` is 0 (least urgent) to 9.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    risk: Risk | None = None
    sensitivity: Sensitivity | None = None
    latency: Latency | None = None
    deadline: Moment | None = None
    max_cost: Money | None = None
    floor: Tier | None = None
    on_ceiling: Tier | None = None
    on_throttle: Tier | None = None
    on_outage: Tier | None = None
    budget: Annotated[Text, Field(min_length=1, max_length=200)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    idempotency_key: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    metadata: dict[Text, Text | int | float | bool | None] | None = None

    @model_validator(mode="after")
    def _falls_no_deeper_than_its_floor(self) -> Self:
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(self, name)
            if tier is not None and TIERS.index(tier) < TIERS.index(self.floor or tier):
                raise ValueError(f"{name} {tier.value!r} is below the floor {self.floor!r}")
        return self

    def to_columns(self) -> dict[str, Any]:
        """The demands as an item stores them, by column name."""
        stated = self.model_dump(mode="json")
        fallback = Fallback(
            on_ceiling=self.on_ceiling, on_throttle=self.on_throttle, on_outage=self.on_outage
        )
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            del stated[name]
        return {**stated, "fallback": fallback.to_json()}

    @classmethod
    def read(cls, stated: Mapping[str, Any], task: str) -> Self:
        """Check what was stated; raises ``InvalidItem`` naming the demand."""
        try:
            return cls.model_validate(dict(stated))
        except ValidationError as error:
            raise invalid(task, error) from None


NAMES = frozenset(StatedDemands.model_fields)
"""The keyword arguments that are demands and not a task type's own."""


def moment(value: Any, task: str, option: str) -> int:
    """``value`` as epoch microseconds; raises ``InvalidItem`` naming the option."""
    try:
        return _moment(value)
    except ValueError as error:
        raise InvalidItem(f"{task}: {option}: {error}", {"task": task}) from None


def invalid(task: str, error: ValidationError) -> InvalidItem:
    """A validation error as ``InvalidItem``: it names the arguments and never their values."""
    problems = [
        f"{'.'.join(str(part) for part in each['loc']) or 'arguments'}: {each['msg']}"
        for each in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return InvalidItem(f"{task}: {'; '.join(problems)}", {"task": task, "problems": problems})
