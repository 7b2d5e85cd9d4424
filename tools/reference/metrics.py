"""The page of Flower's own and our metrics, from the calls that make a gauge."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from tools.reference import markdown
from tools.reference.reading.modules import ROOT, modules

_INTRODUCTION = """
`tierqueue flower` serves `/metrics` for Prometheus: these gauges, of the ledger as it is at that
moment, and Flower's own (`flower_…`), of the events it heard. `/healthz` answers 200 or 503 by the
same findings. Labels are bounded by the policy and by how many processes there are: no id of an
item or a job, no payload.
"""

LABELS = {
    "account": "An account of the policy; empty where the limit is another's.",
    "budget": "A budget with limits of its own; empty where the limit is another's.",
    "by": "Who answered without a call.",
    "code": "A finding's code, as `tierqueue health` shows it.",
    "deployment": "A deployment of the policy; empty where the limit is another's.",
    "limit": "A limit's name, as the policy has it.",
    "process": "Kind, host and process id of a process (`gpu@host:123`), which tells processes of"
    " one machine apart; gone an hour after it was last heard of, or as it ends in order.",
    "reason": "A code of why items wait or ended.",
    "tier": "A tier, or `route`: not routed yet.",
    "wrong": "`1` where somebody is needed, `0` elsewhere.",
}
"""What each label says."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge: its whole name, its labels and its help text."""

    name: str
    labels: tuple[str, ...]
    help: str

    @property
    def unit(self) -> str:
        """What its value counts."""
        return "seconds" if self.name.endswith("_seconds") else "count"


def metrics() -> Iterator[Metric]:
    """Every gauge that is made, by ``_gauge(name, help, labels, …)``."""
    for path in modules():
        text = (ROOT / path).read_text(encoding="utf-8")
        if "GaugeMetricFamily" in text:
            yield from _made(ast.parse(text))


def page() -> str:
    """The whole page."""
    table = markdown.table(
        ("metric", "labels", "unit", "what it is"),
        (
            (
                f"`{gauge.name}`",
                ", ".join(f"`{name}`" for name in gauge.labels),
                gauge.unit,
                gauge.help,
            )
            for gauge in sorted(metrics(), key=lambda gauge: gauge.name)
        ),
    )
    labels = markdown.table(
        ("label", "what it says"), ((f"`{name}`", text) for name, text in LABELS.items())
    )
    return markdown.page("Metrics", _INTRODUCTION, table, "## Labels", labels)


def _made(tree: ast.AST) -> Iterator[Metric]:
    for node in ast.walk(tree):
        match node:
            # for name, help_text, … in (("a", "about a", …), …): … _gauge(name, help_text, …)
            case ast.For(target=ast.Tuple(), iter=ast.Tuple(elts=rows)):
                for call in _calls(node):
                    for row in rows:
                        assert isinstance(row, ast.Tuple)
                        yield _metric(row.elts[0], row.elts[1], call.args[2])
            case ast.Yield(value=ast.Call() as call) if call in _calls(node):
                if isinstance(call.args[0], ast.Constant):
                    yield _metric(*call.args[:3])


def _calls(node: ast.AST) -> list[ast.Call]:
    return [
        call
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "_gauge"
    ]


def _metric(name: ast.expr, about: ast.expr, labels: ast.expr) -> Metric:
    return Metric(
        f"tierqueue_{ast.literal_eval(name)}",
        tuple(ast.literal_eval(labels)),
        str(ast.literal_eval(about)),
    )
