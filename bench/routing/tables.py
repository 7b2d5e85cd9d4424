"""RouteLLM's tables as labelled items, and how a router is judged by them.

Nothing here sees what is being judged: scores come in, figures go out.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierqueue.router.learned.gain_training import LabelledPair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def mmlu(folder: Path) -> list[LabelledPair]:
    """Every question, with its domain as the task type."""
    files = sorted((folder / "mmlu").glob("mmlu_*.csv"))
    dropped = _contaminated(folder / "mmlu_contaminated_prompts.jsonl")
    return [row for file in files for row in _rows(file, file.stem[5:], dropped)]


def gsm8k(folder: Path) -> list[LabelledPair]:
    """Every sum, all of one task type."""
    dropped = _contaminated(folder / "gsm8k_contaminated_prompts.jsonl")
    return list(_rows(folder / "gsm8k_responses.csv", "gsm8k", dropped))


def _contaminated(file: Path) -> set[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return {json.loads(line)["eval_prompt"] for line in lines if line.strip()}


def _rows(file: Path, task: str, dropped: set[str]) -> list[LabelledPair]:
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    return [
        LabelledPair(task, row[0], row[1] == "True", row[2] == "True")
        for row in rows
        if row[0] not in dropped
    ]


def curve(scores: Sequence[float], rows: Sequence[LabelledPair]) -> "Numbers":
    """The share of the gap recovered when the first 0, 1, 2 ... by score get the strong model."""
    import numpy as np

    order = np.argsort(-np.asarray(scores), kind="stable")
    gains = np.array([row.gain for row in rows], np.float64)[order]
    recovered: Numbers = np.concatenate([[0.0], np.cumsum(gains)]) / gains.sum()
    return recovered


def figures(scores: Sequence[float], rows: Sequence[LabelledPair]) -> dict[str, float]:
    """APGR, and CPT50 and CPT80 in percent of strong calls."""
    import numpy as np

    recovered = curve(scores, rows)
    calls = np.linspace(0.0, 1.0, len(recovered))

    def needed(share: float) -> float:
        return 100 * float(calls[int(np.argmax(recovered >= share))])

    area = float(np.trapezoid(recovered, calls))
    return {"apgr": area, "cpt50": needed(0.5), "cpt80": needed(0.8)}
