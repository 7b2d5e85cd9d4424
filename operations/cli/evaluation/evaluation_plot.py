"""An evaluation drawn to a file: what each way of asking costs, and how often it is right."""

from collections.abc import Sequence
from pathlib import Path

from tierqueue.operations.cli.output.simulated import marked
from tierqueue.router.errors import InvalidItem
from tierqueue.router.money import NANO_PER_USD
from tierqueue.tasks.evaluation.baselines import Baseline
from tierqueue.tasks.evaluation.ways import Way


def draw(path: Path, ways: Sequence[Way], beside: Sequence[Baseline]) -> None:
    """Each way as a dot: what it has cost, and how often it is right, with its range of 95 %.

    Raises ``InvalidItem`` where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for way in ways:
        right, cost = way.right, way.cost / NANO_PER_USD
        reach = [[right.value - right.low], [right.high - right.value]]
        name = marked(way.name, way.simulated)
        axes.errorbar([cost], [right.value], yerr=reach, fmt="o", capsize=3, label=name)
    for one in beside:
        axes.plot([one.cost / NANO_PER_USD], [one.right], "x", label=one.name)
    axes.set_xlabel("US dollars")
    axes.set_ylabel("answered rightly")
    axes.set_title("A labelled set on every tier")
    axes.legend()
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidItem(f"cannot write {path}: {error.strerror}") from None
