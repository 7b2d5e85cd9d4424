"""LoRA adapters are looked at before the model is loaded."""

import asyncio
import json
from pathlib import Path

import pytest

from tierqueue.router.errors import Misconfigured
from tierqueue.workers.engines.vllm.adapters import Adapters, AdapterTurns


def folder(path: Path, **settings: object) -> str:
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return str(path)


def wrong(name: str, **options: object) -> str:
    with pytest.raises(Misconfigured) as raised:
        Adapters("own", {"team.sort": name}).options(options)
    return raised.value.message


def test_without_adapters_vllm_is_asked_for_nothing() -> None:
    assert Adapters("own", {}).options({}) == {}
    assert Adapters("own", {}).request(None) is None


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "nowhere"])
def test_a_folder_that_is_not_there_is_named_with_its_task_type(name: str) -> None:
    said = wrong(name)
    assert said.startswith(f"deployment own, adapter {name}: there is no such folder")
    assert "team.sort" in said


def test_a_folder_without_an_adapter_in_it_is_none(tmp_path: Path) -> None:
    assert "holds no adapter_config.json" in wrong(str(tmp_path))


@pytest.mark.parametrize("settings", [{}, {"r": "wide"}, {"r": 8, "rank_pattern": 7}])
def test_an_adapter_that_states_no_rank_is_refused(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    assert "states no rank" in wrong(folder(tmp_path / "a", **settings))


def test_a_rank_above_what_the_engine_takes_is_refused(tmp_path: Path) -> None:
    name = folder(tmp_path / "a", r=8, rank_pattern={"q_proj": 64})
    assert "its rank is 64, and the engine takes 32 at most" in wrong(name, max_lora_rank=32)
    wide = folder(tmp_path / "b", r=1024)
    assert "its rank is 1024, and the engine takes 512 at most" in wrong(wide)


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore")  # vLLM and torch warn of their own future
def test_the_engine_is_made_for_the_widest_and_for_all_of_them(tmp_path: Path) -> None:
    narrow, wide = folder(tmp_path / "a", r=4), folder(tmp_path / "b", r=24)
    adapters = Adapters("own", {"a.one": narrow, "b.two": wide, "c.three": narrow})
    assert adapters.options({}) == {"enable_lora": True, "max_loras": 2, "max_lora_rank": 32}
    one, two = adapters.request(narrow), adapters.request(wide)
    assert (one.lora_path, two.lora_path) == (narrow, wide)
    assert one.lora_int_id != two.lora_int_id


async def stays(
    turns: AdapterTurns, kind: str | None, end: asyncio.Event, inside: list[str]
) -> None:
    async with turns.of(kind):
        inside.append(str(kind))
        await end.wait()
        inside.remove(str(kind))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_kinds_take_turns_in_the_order_in_which_they_asked() -> None:
    async def lived() -> None:
        turns, inside = AdapterTurns(), list[str]()
        ends = [asyncio.Event() for _ in range(3)]
        a, b, c = ends
        async with asyncio.TaskGroup() as group:
            for kind, end in (("a", a), ("a", a), ("b", b), ("b", b), (None, c), ("a", c)):
                group.create_task(stays(turns, kind, end, inside))
            await settled()
            assert inside == ["a", "a"], "the last of them waits: others had asked before it"
            a.set()
            await settled()
            assert inside == ["b", "b"]
            b.set()
            await settled()
            assert inside == ["None"]
            c.set()
        assert inside == []

    asyncio.run(lived())


def test_who_is_cancelled_while_waiting_or_inside_holds_up_nobody() -> None:
    async def lived() -> None:
        turns, inside = AdapterTurns(), list[str]()
        never, last = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(stays(turns, "a", never, inside))
        waits = asyncio.create_task(stays(turns, "b", never, inside))
        after = asyncio.create_task(stays(turns, "c", last, inside))
        await settled()
        waits.cancel()
        await settled()
        first.cancel()
        await settled()
        assert inside == ["a", "c"], "what was cancelled inside of this test never left its list"
        last.set()
        await after
        await asyncio.gather(first, waits, return_exceptions=True)

    asyncio.run(lived())


def test_who_is_cancelled_as_its_turn_comes_gives_it_on() -> None:
    async def lived() -> None:
        turns, inside = AdapterTurns(), list[str]()
        first, never = asyncio.Event(), asyncio.Event()
        one = asyncio.create_task(stays(turns, "a", first, inside))
        waits = asyncio.create_task(stays(turns, "b", never, inside))
        await settled()
        first.set()
        one.add_done_callback(lambda _: waits.cancel())
        await settled()
        async with asyncio.timeout(60), turns.of("c"):
            pass
        await asyncio.gather(one, waits, return_exceptions=True)

    asyncio.run(lived())
