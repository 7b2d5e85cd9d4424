"""LoRA adapters are looked at before the model is loaded."""

import json
from pathlib import Path

import pytest

from tierqueue.router.errors import Misconfigured
from tierqueue.workers.engines.vllm.adapters import Adapters


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
