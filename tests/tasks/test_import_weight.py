"""What a producer and the command load before they do anything: not a clock, a list of modules."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic",
    "anthropic",
    "genai_prices",
    "matplotlib",
    "openai",
    "psycopg",
    "pydantic_settings",
    "redis",
    "rich",
    "sqlalchemy",
    "structlog",
    "tierqueue.router.policy.policy",
    "tierqueue.tasks.results.backend",
}

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded_by(program: str) -> set[str]:
    """The modules of a fresh process that has run ``program``."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{program}\n{LOADED}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(ran.stdout.splitlines()[-1]))


@pytest.mark.processes
@pytest.mark.parametrize(
    "program",
    [
        "import tierqueue.tasks",
        "from tierqueue.tasks import classify, complete, extract, summarize",
        "from tierqueue.tasks import Demands, Doubt, Prompt, item_task",
        "from tierqueue.tasks.app import app",
    ],
)
def test_a_producer_loads_nothing_that_the_first_call_can_load(program: str) -> None:
    modules = loaded_by(program)
    assert "tierqueue.tasks" in modules
    assert modules & HEAVY == set()


@pytest.mark.processes
def test_the_commands_help_loads_neither_celery_nor_the_ledger() -> None:
    modules = loaded_by(
        "from tierqueue.operations.cli import root\nroot.main(['--help'], standalone_mode=False)"
    )
    assert "tierqueue.operations.cli" in modules
    assert modules & (HEAVY | {"celery", "kombu", "pydantic", "tierqueue.ledger.session"}) == set()


@pytest.mark.processes
def test_a_worker_loads_the_price_list_only_for_a_deployment_that_is_priced_by_it() -> None:
    modules = loaded_by("import tierqueue.workers.routing, tierqueue.workers.frontier")
    assert "tierqueue.router.pricing" in modules
    assert not modules & {"genai_prices", "tierqueue.router.policy.price_list"}


HELP_OF_EVERY_COMMAND = """
import click
from tierqueue.operations.cli import root

def show(command, words):
    root.main([*words, "--help"], standalone_mode=False)
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            show(command.get_command(None, name), [*words, name])

show(root, [])
"""


@pytest.mark.processes
def test_the_help_of_every_command_loads_neither_celery_nor_the_ledger() -> None:
    modules = loaded_by(HELP_OF_EVERY_COMMAND)
    assert {
        "tierqueue.operations.cli.work.item",
        "tierqueue.operations.cli.system.worker",
    } <= modules
    assert modules & (HEAVY | {"celery", "kombu", "pydantic", "tierqueue.ledger.session"}) == set()


def test_every_name_that_tasks_promises_is_there() -> None:
    import tierqueue.tasks

    assert set(tierqueue.tasks.__all__) == set(tierqueue.tasks._HOME)
    for name in tierqueue.tasks.__all__:
        assert getattr(tierqueue.tasks, name) is not None
    assert set(tierqueue.tasks.__all__) <= set(dir(tierqueue.tasks))
    with pytest.raises(AttributeError, match="clasify"):
        getattr(tierqueue.tasks, "clasify")  # noqa: B009 - a misspelt name, past type checkers
