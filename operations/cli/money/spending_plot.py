"""Spending drawn to a file: a bar for each group, beside what it would have cost on frontier."""

from collections.abc import Sequence
from pathlib import Path

from tierqueue.ledger.accounting.spending import GroupSpending
from tierqueue.operations.accounting.comparison import Alternative
from tierqueue.operations.cli.output.escapes import visible
from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NANO_PER_USD


def draw(
    path: Path, by: str, groups: Sequence[GroupSpending], frontier: Alternative | None
) -> None:
    """One bar a group, in dollars, beside what it would have cost all on frontier.

    Raises ``InvalidItem`` where the file cannot be written.
    """
    from matplotlib.figure import Figure

    labels = [marked(visible(group.key), group.simulated) for group in groups]
    figure = Figure(figsize=(8, 1.5 + 0.6 * max(1, len(groups))), layout="constrained")
    axes = figure.subplots()
    places = range(len(groups))
    axes.barh(places, [group.cost / NANO_PER_USD for group in groups], 0.4, label="spent")
    if frontier is not None:
        there = [frontier.costs.get((group.key, group.simulated), 0) for group in groups]
        label = f"all on {marked(frontier.deployment, frontier.simulated)}"
        dollars = [cost / NANO_PER_USD for cost in there]
        axes.barh([place + 0.4 for place in places], dollars, 0.4, label=label)
    # Dollar signs in a name begin no formula.
    axes.set_yticks([place + 0.2 for place in places], labels, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("US dollars")
    axes.set_title(f"Spending by {by}")
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidItem(f"cannot write {path}: {error.strerror}") from None
