"""What a process has opened is handed on by its entrances; nothing else reaches into the app."""

import ast
from pathlib import Path

ENTRANCES = {
    # Where the app is made.
    "tasks/app.py",
    # What Celery makes and gives the app alone: its task, control, backend and consumer.
    "tasks/submission/item_task.py",
    "tasks/submission/intake.py",
    "tasks/results/cancellation.py",
    "tasks/results/backend.py",
    "tasks/consumer/consumer.py",
    # What tells whoever Celery knows: by the app's tasks, its backend and its events.
    "tasks/results/delivery.py",
    "tasks/results/replay.py",
    # What producers call, who have imported nothing but the tasks.
    "tasks/evaluation/feedback.py",
    "tasks/evaluation/review.py",
    "tasks/jobs/job.py",
    "tasks/kinds/document_result.py",
    "tasks/kinds/in_pieces.py",
    "tasks/submission/pipeline.py",
    # What starts a process.
    "workers/routing_stage/worker.py",
    "workers/tier_worker.py",
    # What a command is given, and what looks at the whole system.
    "operations/cli/input/ledger_access.py",
    "operations/diagnosis.py",
    "operations/flower/app.py",
    "operations/health.py",
}
"""Modules that may speak of ``app.installation``; others are given a ledger, a policy, a wake."""


def test_only_entrances_reach_into_the_app(code: dict[Path, str]) -> None:
    packages = {"router", "ledger", "tasks", "workers", "operations"}
    reach = {
        path.as_posix()
        for path, text in code.items()
        if path.parts[0] in packages and ".installation" in text
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and node.attr == "installation"
    }
    assert reach == ENTRANCES
