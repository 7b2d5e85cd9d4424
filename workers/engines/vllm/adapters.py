"""LoRA adapters: which ones an engine answers by, and whose turn it is where batches mix them."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tierqueue.router.errors import Misconfigured

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks for which vLLM 0.32 can be set up; an adapter takes the next one."""

_SETTINGS = "adapter_config.json"


def placed(name: str, folder: str) -> str:
    """What ``name`` is from ``folder``, where that is there; else the name as it stands."""
    found = Path(folder, name)
    return str(found) if folder and found.exists() else name


class Adapters:
    """The adapters of one deployment. ``stated``: a folder or a Hugging Face id by task type;
    ``base``: from where a relative folder is looked for first.
    """

    def __init__(self, deployment: str, stated: Mapping[str, str], base: str = "") -> None:
        self._base = base
        self._deployment = deployment
        self._stated = dict(stated)
        self._requests: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._stated)

    def options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of vLLM's for them, beside those that the policy states (``options``).

        Raises ``Misconfigured``, naming task type and adapter, where one is not on this machine,
        is none, or has a larger rank than the options allow.
        """
        if not self._stated:
            return {}
        folders = {name: self._folder(task, name) for task, name in self._stated.items()}
        widest = max(self._rank(name, folder, options) for name, folder in folders.items())
        from vllm.lora.request import LoRARequest

        self._requests = {
            name: LoRARequest(lora_name=name, lora_int_id=at, lora_path=str(folder))
            for at, (name, folder) in enumerate(folders.items(), start=1)
        }
        rank = next(rank for rank in RANKS if rank >= widest)
        return {"enable_lora": True, "max_loras": len(folders), "max_lora_rank": rank}

    def request(self, name: str | None) -> Any:
        """What vLLM is given of an adapter with a call; ``None`` where it has none."""
        return None if name is None else self._requests[name]

    async def load(self, llm: Any) -> None:
        """Have the engine read all of them. Raises ``Misconfigured``, naming the one it cannot."""
        for name, request in self._requests.items():
            try:
                await llm.add_lora(request)
            except Exception as error:
                raise self._wrong(name, " ".join(str(error).split())) from error

    def _folder(self, task: str, name: str) -> Path:
        folder = Path(placed(name, self._base)).expanduser()
        if not folder.is_dir():
            if name.startswith((".", "/", "~")) or name.count("/") != 1:
                raise self._wrong(name, f"there is no such folder on this machine (for {task})")
            from huggingface_hub import snapshot_download

            try:
                folder = Path(snapshot_download(name, local_files_only=True))
            except Exception as error:
                raise self._wrong(
                    name, f"it is not on this machine (for {task}): `hf download {name}`"
                ) from error
        if not (folder / _SETTINGS).is_file():
            raise self._wrong(name, f"its folder holds no {_SETTINGS}, so it is no LoRA adapter")
        return folder.resolve()

    def _rank(self, name: str, folder: Path, options: Mapping[str, Any]) -> int:
        """The adapter's largest rank."""
        try:
            settings = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))
            rank = max([int(settings["r"]), *map(int, settings.get("rank_pattern", {}).values())])
        except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise self._wrong(name, f"its {_SETTINGS} states no rank (r)") from error
        most = options.get("max_lora_rank", RANKS[-1])
        if isinstance(most, int) and rank > most:
            raise self._wrong(
                name, f"its rank is {rank}, and the engine takes {most} at most (max_lora_rank)"
            )
        return rank

    def _wrong(self, name: str, why: str) -> Misconfigured:
        return Misconfigured(
            f"deployment {self._deployment}, adapter {name}: {why}",
            {"deployment": self._deployment, "adapter": name},
        )


class AdapterTurns:
    """At one time only calls of one kind are inside; the kinds come in the order they first asked.

    vLLM 0.32 on a CPU answers a call without an adapter by the adapter of its neighbours in the
    batch. Used by one loop alone.
    """

    def __init__(self) -> None:
        self._kind: str | None = None
        self._inside = 0
        self._waiting: dict[str | None, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def of(self, kind: str | None) -> AsyncIterator[None]:
        """Wait for the turn of ``kind``, and be inside."""
        if not self._inside or (kind == self._kind and not self._waiting):
            self._kind = kind
            self._inside += 1
        else:
            await self._turn(kind)
        try:
            yield
        finally:
            self._left()

    async def _turn(self, kind: str | None) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._left()  # its turn had come
            raise

    def _left(self) -> None:
        self._inside -= 1
        while not self._inside and self._waiting:
            self._kind = next(iter(self._waiting))
            for turn in self._waiting.pop(self._kind):
                if not turn.done():
                    self._inside += 1
                    turn.set_result(None)
