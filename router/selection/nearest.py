"""The nearest change with which something would fit an item that nothing fits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tierqueue.router.escalation import rank_after
from tierqueue.router.item import TIERS, WorkItem
from tierqueue.router.route import Refusal
from tierqueue.router.selection.candidate import Candidate
from tierqueue.router.signals import Signals

Taken = Callable[[WorkItem, Signals], str | None]
"""Who would take an item with these signals; ``None``: nobody."""


def nearest_change(
    item: WorkItem,
    signals: Signals,
    candidates: Sequence[Candidate],
    refusals: Sequence[Refusal],
    taken: Taken,
) -> str | None:
    """What would have to change for the item to go somewhere, in words; ``None``: not one thing.

    Every change is tried before it is named. None of them lets data out of the house.
    """
    for changed, with_signals, words in _changes(item, signals, candidates):
        by = taken(changed, with_signals)
        if by is not None:
            return words.format(by=by)
    for rule, words in _ADVICE:
        found = next((refusal for refusal in refusals if refusal.rule == rule), None)
        if found is not None:
            return words.format(by=found.deployment)
    return None


_ADVICE = (
    ("boundary", "a deployment like {by} with the boundary `house` would be needed"),
    ("task_type", "list the task type under `tasks` of {by}"),
)
"""What the policy could say, by rule, where nothing of the item's own would do."""


def _changes(
    item: WorkItem, signals: Signals, candidates: Sequence[Candidate]
) -> Iterator[tuple[WorkItem, Signals, str]]:
    """The item as it would have to be, from what costs its producer least."""
    for tokens in _shorter_by(signals, candidates):
        yield (
            item,
            _shortened(signals, tokens),
            f"{{by}} would do it were prompt and answer {tokens:,} tokens shorter",
        )
    if item.images:
        words = (
            "{by} would do it without its images; with them a deployment like it that states"
            " `vision = true`, whose model sees images, would be needed"
        )
        yield replace(item, images=()), replace(signals, images={}), words
    if item.min_confidence is not None:
        words = "{by} would do it without a min_confidence, which it cannot show"
        yield replace(item, min_confidence=None), signals, words
    floor = item.demands.floor
    lowest = 0 if floor is None else TIERS.index(floor)
    for rank in range(lowest - 1, rank_after(item.refused_by) - 1, -1):
        demands = replace(item.demands, floor=TIERS[rank])
        words = f"{{by}} would do it with the floor at {TIERS[rank]}"
        yield replace(item, demands=demands), signals, words


def _shorter_by(signals: Signals, candidates: Sequence[Candidate]) -> list[int]:
    """By how many tokens it is too long, for whom it is, the least first."""
    found = set()
    for candidate in candidates:
        needed = signals.input_tokens(candidate.name) + signals.output_tokens_bound
        needed += candidate.reasoning_tokens
        most = min(candidate.context_window, candidate.burst or candidate.context_window)
        if most < needed <= most + signals.input_tokens(candidate.name):
            found.add(needed - most)
    return sorted(found)


def _shortened(signals: Signals, tokens: int) -> Signals:
    return replace(
        signals,
        input_tokens_bound=max(0, signals.input_tokens_bound - tokens),
        counted={name: max(0, count - tokens) for name, count in signals.counted.items()},
    )
