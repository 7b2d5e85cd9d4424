"""The demands any item may carry, checked at the call."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tierqueue.router.errors import InvalidItem
from tierqueue.router.item import MOST_NAME, TIERS, Fallback, Latency, Risk, Sensitivity, Tier
from tierqueue.router.money import NanoUSD, parse_usd
from tierqueue.router.policy.duration import microseconds, parse_duration
from tierqueue.router.policy.policy_errors import plain_message
from tierqueue.tasks.bounded_values import Text

_MOST_MONEY = 2**63 - 1
"""The largest whole number both databases keep exactly."""


_FARTHEST = timedelta(days=3650)
"""How far away a deadline may be: what is farther was meant otherwise."""

_WRITE = "write it like 30s, 5m, 24h, 7d, in seconds, or as a datetime with its time zone"


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
        at, now = _moment_of(value), datetime.now(UTC)
    except (OverflowError, OSError):
        raise ValueError("it is beyond any calendar") from None
    if at > now + _FARTHEST:
        raise ValueError(
            f"it is {(at - now).days // 365:,} years away: a number is seconds from now, and no"
            " time since 1970"
        )
    return microseconds(at.timestamp())


def _moment_of(value: Any) -> datetime:
    """A time: a datetime or its ISO text, both with a time zone, a duration, or seconds from now.

    Without a zone a time would mean one moment here, another to Celery and a third to whoever
    reads the row: it is refused.
    """
    if isinstance(value, bool):
        raise ValueError(_WRITE)
    if isinstance(value, str):
        try:
            value = timedelta(microseconds=parse_duration(value))
        except ValueError:
            value = _iso(value)
    if isinstance(value, int | float):
        value = timedelta(seconds=value)
    if isinstance(value, timedelta):
        if value < timedelta(0):
            raise ValueError("it is in the past: a duration counts from now")
        return datetime.now(UTC) + value
    if not isinstance(value, datetime):
        raise ValueError(_WRITE)
    if value.utcoffset() is None:
        raise ValueError(
            "it has no time zone, and this machine's may not be yours: write it like"
            f" {value.replace(microsecond=0).isoformat()}+00:00, or make it with datetime.now(UTC)"
        )
    return value


def _iso(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(_WRITE) from None


TierName = Tier | Literal["gpu", "open_weight", "frontier"] | None


class Demands(TypedDict, total=False):
    """What any call may demand, for type checkers; ``StatedDemands`` checks it at the call.

    A task type lists it last, ``**_demands: Unpack[Demands]``. ``None`` is "not stated".
    """

    risk: Risk | Literal["internal", "customer_facing", "auto_applied"] | None
    sensitivity: Sensitivity | Literal["public", "internal", "confidential", "regulated"] | None
    latency: Latency | Literal["interactive", "background"] | None
    deadline: str | float | timedelta | datetime | None
    max_cost: str | float | Decimal | None
    floor: TierName
    on_ceiling: TierName
    on_throttle: TierName
    on_outage: TierName
    budget: str | None
    priority: int | None
    idempotency_key: str | None
    metadata: Mapping[str, str | int | float | bool | None] | None


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
    budget: Annotated[Text, Field(min_length=1, max_length=MOST_NAME)] | None = None
    priority: Annotated[int, Field(ge=0, le=9)] | None = None
    idempotency_key: Annotated[Text, Field(min_length=1, max_length=500)] | None = None
    metadata: dict[Text, Text | int | float | bool | None] | None = None

    @model_validator(mode="after")
    def _falls_no_deeper_than_its_floor(self) -> Self:
        for name in ("on_ceiling", "on_throttle", "on_outage"):
            tier: Tier | None = getattr(self, name)
            if tier is not None and TIERS.index(tier) < TIERS.index(self.floor or tier):
                raise ValueError(
                    f"{name} {tier.value!r} is below the floor {(self.floor or tier).value!r}"
                )
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
        f"{'.'.join(str(part) for part in fault['loc']) or 'arguments'}: {plain_message(fault)}"
        for fault in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return InvalidItem(f"{task}: {'; '.join(problems)}", {"task": task, "problems": problems})
