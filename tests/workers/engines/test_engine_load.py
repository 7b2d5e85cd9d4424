"""How many calls an engine is worth giving, and what is told of it."""

import math

from tierqueue.workers.engines.engine_load import AHEAD, EngineLoad, Stall


def a_load() -> EngineLoad:
    return EngineLoad(most=64)


def test_an_engine_with_free_capacity_is_given_half_as_much_again_as_it_runs_at_once() -> None:
    load = a_load()
    assert load.depth == 96
    load.step(running=64, waiting=30, kv_use=0.4, queries=0, hits=0)
    assert load.depth == 96


def test_an_engine_whose_cache_is_full_is_given_by_what_it_can_run() -> None:
    load = a_load()
    load.step(running=10, waiting=80, kv_use=0.97, queries=0, hits=0)
    assert load.depth == math.ceil(AHEAD * 10)
    load.step(running=10, waiting=0, kv_use=0.97, queries=0, hits=0)
    assert load.depth == 96, "nobody waits for its cache"


def test_an_engine_that_runs_nothing_is_still_given_something() -> None:
    load = a_load()
    load.step(running=0, waiting=5, kv_use=1.0, queries=0, hits=0)
    assert load.depth == 2


def test_an_engine_whose_last_call_was_aborted_runs_nothing() -> None:
    load = a_load()
    load.step(running=3, waiting=2, kv_use=0.95, queries=0, hits=0)
    load.idle()
    told = load.figures()
    assert (told.running, told.waiting, told.depth) == (0, 0, 96)


def test_a_step_that_is_told_after_the_last_call_left_runs_nothing() -> None:
    load = a_load()
    load.begun()
    load.idle()
    load.step(running=1, waiting=0, kv_use=0.1, queries=0, hits=0)
    assert load.figures().running == 0
    load.begun()
    load.step(running=1, waiting=0, kv_use=0.1, queries=0, hits=0)
    assert load.figures().running == 1


def test_figures_are_of_now_and_since_the_start() -> None:
    load = a_load()
    load.step(running=4, waiting=1, kv_use=0.5, queries=100, hits=0)
    load.step(running=2, waiting=0, kv_use=0.25, queries=100, hits=80)
    load.step(running=0, waiting=0, kv_use=0.0, queries=0, hits=0)
    load.answered(7)
    load.answered(5)
    told = load.figures().heartbeat_detail()
    assert (told["running"], told["waiting"], told["kv_use"]) == (0, 0, 0.0)
    assert (told["peak_running"], told["steps"], told["running_steps"]) == (4, 2, 6)
    assert (told["prefix_queries"], told["prefix_hits"], told["output_tokens"]) == (200, 80, 12)


def test_an_engine_hangs_from_the_last_step_on_and_never_without_calls() -> None:
    now, load = [0.0], EngineLoad(most=4)
    stall = Stall(load, lambda: now[0])
    now[0] = 100.0
    assert stall.seconds == 0.0
    stall.begun()
    now[0] = 110.0
    assert stall.seconds == 10.0
    load.step(1, 0, 0.1, 0, 0)
    assert stall.seconds == 0.0
    now[0] = 115.0
    stall.begun()
    assert stall.seconds == 5.0
    stall.ended(idle=False)
    now[0] = 118.0
    assert stall.seconds == 3.0
    stall.ended(idle=True)
    now[0] = 500.0
    assert stall.seconds == 0.0
