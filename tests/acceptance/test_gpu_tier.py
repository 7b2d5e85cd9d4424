"""The gpu tier with a real engine: vLLM in the worker, on a tiny model with random weights."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.acceptance_system import Build, RunningSystem
from tests.acceptance.own_models import word
from tests.fork_server import ForkServer
from tests.tiny_model import make_tiny_model
from tests.waiting import until
from tierqueue.ledger.in_force import pauses
from tierqueue.ledger.monitoring import progress
from tierqueue.ledger.session import now as database_now
from tierqueue.router.errors import AnswerNotHeld
from tierqueue.router.policy.policy import parse_policy
from tierqueue.router.signals import TOKENS_PER_MESSAGE, TOKENS_PER_REQUEST
from tierqueue.tasks import classify, complete
from tierqueue.workers.engines.vllm import orphans

pytestmark = pytest.mark.engine

LABELS = ["lost card", "refund"]
OWN_GPU = """
default_sensitivity = "internal"

[deployments.own]
tier = "gpu"
engine = "vllm"
model = "{model}"
boundary = "house"
context_window = 2048
timeout = 60
gpu_hour = "2.10"
tokenizer = "{model}/tokenizer.json"

[deployments.own.engine_options]
enforce_eager = true
max_model_len = 2048
kv_cache_memory_bytes = 67108864
"""


@pytest.fixture(scope="module")
def engine_forks() -> Iterator[ForkServer]:
    """Starts worker processes that have imported vLLM too."""
    server = ForkServer(vllm=True)
    yield server
    server.close()


@pytest.fixture(scope="module")
def running(
    engine_forks: ForkServer, build_system: Build, tmp_path_factory: pytest.TempPathFactory
) -> RunningSystem:
    """A system whose gpu worker runs the engine."""
    model: Path = make_tiny_model(tmp_path_factory.mktemp("model"), chat=True)
    return build_system(
        policy_text=OWN_GPU.replace("{model}", str(model)),
        processes=("routing", "gpu"),
        forks=engine_forks,
        environ={
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "TIERQUEUE_LEASE": "10",
            "TIERQUEUE_IMPORTS": "tests.acceptance.own_models",
        },
    )


def test_a_ticket_is_done_by_the_house_s_own_engine(running: RunningSystem) -> None:
    answer = classify.delay("my card is lost", labels=LABELS, sensitivity="regulated")
    receipt = answer.get(timeout=60)["receipt"]
    assert (receipt["tier"], receipt["deployment"]) == ("gpu", "own")
    assert receipt["simulated"] is False
    assert receipt["tokens"]["output"] > 0
    assert receipt["cost_nanousd"] > 0
    (attempt,) = running.attempts(receipt["item"])
    assert attempt.price_source == "gpu_hour"
    assert attempt.usage["engine_seconds"] > 0


def test_an_answer_that_the_grammar_cannot_hold_is_known_before_any_item_is_lost(
    running: RunningSystem,
) -> None:
    told = {"task": "tests.word", "deployment": "own", "part": "word: pattern"}
    assert _told_last(running)["not_held"] == [told]
    answer = word.delay("a fox")
    with pytest.raises(AnswerNotHeld, match="tierqueue doctor"):
        answer.get(timeout=60)
    row = running.item(answer.id)
    assert (row.state, row.reason, row.spent, row.held) == ("dead", "grammar", 0, 0)
    assert [attempt.outcome for attempt in running.attempts(answer.id)] == ["failed"]


def test_the_routing_stage_counts_what_the_engine_then_uses(running: RunningSystem) -> None:
    answer = classify.delay("naïve ☃ card 😀 " * 20, labels=LABELS)
    receipt = answer.get(timeout=60)["receipt"]
    used = receipt["tokens"]["input"]
    bound = running.item(receipt["item"]).route["input_tokens"]
    counted = bound - 2 * TOKENS_PER_MESSAGE - TOKENS_PER_REQUEST
    assert counted < used <= bound, "all but the chat template's own marks"


def test_many_items_share_the_engine_s_time(running: RunningSystem) -> None:
    waiting = [classify.delay(f"card {n}", labels=LABELS) for n in range(24)]
    receipts = [result.get(timeout=90)["receipt"] for result in waiting]
    assert {receipt["deployment"] for receipt in receipts} == {"own"}
    spans = [attempt for receipt in receipts for attempt in running.attempts(receipt["item"])]
    wall = max(span.ended_at for span in spans) - min(span.started_at for span in spans)
    assert sum(span.usage["engine_seconds"] for span in spans) <= wall / 1e6 * 1.05


def test_what_comes_together_runs_together_and_is_answered_as_if_it_had_come_alone(
    running: RunningSystem,
) -> None:
    texts = [f"card {n} was refused at the till" for n in range(64)]
    alone = [classify.delay(text, labels=LABELS).get(timeout=60)["output"] for text in texts[:6]]
    before = _engine(running)
    with running.ledger.write() as connection:
        pauses.pause(connection, "tier", "gpu", "a test")
    again = [classify.delay(text, labels=LABELS) for text in texts]
    with running.ledger.write() as connection:
        pauses.resume(connection, "tier", "gpu", "a test")
    answers = [result.get(timeout=90) for result in again]
    together = [answer["output"] for answer in answers]
    assert together[:6] == alone, "greedy answers do not depend on their neighbours"
    assert {output["label"] for output in together} <= set(LABELS)
    tokens = sum(answer["receipt"]["tokens"]["output"] for answer in answers)
    after = until(lambda: _after(running, before["output_tokens"] + tokens))
    assert after["running_steps"] > after["steps"]
    assert after["prefix_hits"] > before["prefix_hits"], "the labels come first, and are shared"


def test_many_long_answers_are_written_side_by_side(running: RunningSystem) -> None:
    before = _engine(running)
    with running.ledger.write() as connection:
        pauses.pause(connection, "tier", "gpu", "a test")
    waiting = [complete.delay(f"Count from {n}", max_output_tokens=400) for n in range(64)]
    with running.ledger.write() as connection:
        pauses.resume(connection, "tier", "gpu", "a test")
    until(lambda: all(result.ready() for result in waiting), seconds=240)
    # Each takes hundreds of steps: however slowly a busy machine hands them over, they meet.
    after = until(lambda: _after(running, before["output_tokens"] + 64))
    assert after["peak_running"] >= 16


def test_a_worker_that_stops_and_cannot_start_again_loses_nothing_and_leaves_no_engine(
    running: RunningSystem,
) -> None:
    worker = running.system.processes["gpu"]
    cores = _cores(worker.popen.pid)
    waiting = [classify.delay(f"card {n} before the stop", labels=LABELS) for n in range(96)]
    worker.end()
    assert worker.wait(60) == 0
    until(lambda: not any(_runs(core) for core in cores))

    later = [classify.delay(text, labels=LABELS) for text in ("card one", "card two")]
    until(lambda: all(running.item(wait.id).deployment == "own" for wait in later))
    policy = Path(running.system.environ["TIERQUEUE_POLICY"])
    (own,) = parse_policy(policy.read_text(encoding="utf-8"), "t").deployments.values()
    with _taken_away(Path(own.model) / "model.safetensors"):
        said = _ends_at_its_start(running)
    (line,) = [line for line in said.splitlines() if "worker_not_started" in line]
    why = json.loads(line)["why"]
    assert why.startswith("vLLM did not start for deployment own, model ")
    assert why.endswith("its own error stands above in the worker's output")
    assert "Cannot find any model weights" in said
    for wait in later:
        row = running.item(wait.id)
        assert row.state in ("routed", "queued")
        assert (row.held, row.spent, row.calls, row.lost_claims) == (0, 0, 0, 0)
        assert running.attempts(wait.id) == []

    running.system.spawn("gpu").wait_ready()
    labels = {result.get(timeout=90)["output"]["label"] for result in waiting}
    assert labels <= set(LABELS)
    spent = [attempt for result in waiting for attempt in running.attempts(result.id)]
    assert len([attempt for attempt in spent if attempt.outcome == "accepted"]) == 96
    for wait in later:
        assert wait.get(timeout=90)["receipt"]["attempts"] == 1


def _runs(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _engine(running: RunningSystem) -> dict[str, float]:
    figures: dict[str, float] = _told_last(running)["engines"]["own"]
    return figures


def _told_last(running: RunningSystem) -> Mapping[str, Any]:
    """What a gpu worker last told of itself; one that was killed is still known, and silent."""
    with running.ledger.read() as connection:
        known = progress.living(connection, database_now(connection))
    workers = [process for process in known if process.tier == "gpu"]
    return min(workers, key=lambda worker: worker.silent).detail


def _after(running: RunningSystem, output_tokens: float) -> dict[str, float] | None:
    figures = _engine(running)
    quiet = figures["running"] == 0
    return figures if quiet and figures["output_tokens"] >= output_tokens else None


def test_a_dead_engine_core_ends_the_worker_and_loses_nothing(running: RunningSystem) -> None:
    worker = running.system.processes["gpu"]
    for core in _cores(worker.popen.pid):
        os.kill(core, signal.SIGKILL)
    assert worker.wait(60) is not None
    waiting = classify.delay("after the crash", labels=LABELS)
    again = running.system.spawn("gpu")
    # A beat may be long in coming, and the core is not to be there first.
    [core] = until(lambda: _cores(again.popen.pid))
    os.kill(core, signal.SIGSTOP)
    assert until(lambda: "own" in _loading(running))
    os.kill(core, signal.SIGCONT)
    again.wait_ready()
    assert until(lambda: _loading(running) == [])
    assert waiting.get(timeout=60)["receipt"]["deployment"] == "own"
    assert until(lambda: running.item(waiting.id).held == 0)


def _loading(running: RunningSystem) -> list[str]:
    with running.ledger.read() as connection:
        alive = progress.living(connection, database_now(connection))
    return [process.detail["loading"] for process in alive if process.detail.get("loading")]


def _cores(worker: int) -> list[int]:
    """The processes of a worker's engines; none before what watches over them is there."""
    watched, found = False, []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(worker).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if orphans.WATCH in child.cmdline():
                    watched = True
                else:
                    found.append(child.pid)
    return found if watched else []


@contextlib.contextmanager
def _taken_away(file: Path) -> Iterator[None]:
    """For a while."""
    whole = file.read_bytes()
    file.unlink()
    try:
        yield
    finally:
        file.write_bytes(whole)


def _ends_at_its_start(running: RunningSystem) -> str:
    """What a gpu worker says that cannot start."""
    worker = running.system.spawn("gpu")
    cores: set[int] = set()

    def ended() -> bool:
        cores.update(_cores(worker.popen.pid))
        return worker.popen.poll() is not None

    until(ended, 300)
    assert worker.wait(1) == 2, "a supervisor starts it again"
    assert cores
    until(lambda: not any(_runs(core) for core in cores))
    return worker.output()
