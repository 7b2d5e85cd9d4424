"""The blocks of the README and the documents, each of which a test runs or reads.

A block is checked by the language it names: ``console`` (its lines that begin with ``$``),
``python``, ``toml`` and ``json``. A comment on the line above its fence says what is special:

- ``<!-- not run: why it cannot be on a bare machine -->`` leaves a block out;
- ``<!-- part of a deployment -->`` says that a ``toml`` block is some keys of one;
- ``<!-- exits: 1 -->`` says how the commands of a ``console`` block end, where it is not with 0;
- ``<!-- given: text, labels = "x", ["a", "b"] -->`` is Python that runs before a ``python`` block.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LANGUAGES = {"console", "json", "python", "sh", "toml", ""}

_FENCE = re.compile(r"^```(\w*)$")
_MARK = re.compile(r"^<!-- (not run|part of a deployment|given|exits)(?:: (.+))? -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; ``mark`` and ``said`` are of the comment above it."""

    path: str
    line: int
    language: str
    text: str
    mark: str = ""
    said: str = ""

    @property
    def commands(self) -> list[str]:
        """The commands of a ``console`` block, without their comments."""
        lines = [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]
        return [re.sub(r"\s+# .*$", "", line).strip() for line in lines]


def blocks(language: str | None = None) -> list[Block]:
    """Every block of this language, of all documents, or all there are."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [block for path in paths for block in _blocks(path)]
    return [block for block in found if language in (None, block.language)]


def _blocks(path: Path) -> Iterator[Block]:
    lines = path.read_text(encoding="utf-8").splitlines()
    begun: int | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if begun is None:
            begun = number
            continue
        opening = _FENCE.match(lines[begun])
        assert opening is not None
        mark = _MARK.match(lines[begun - 1]) if begun else None
        yield Block(
            path=path.relative_to(ROOT).as_posix(),
            line=begun + 1,
            language=opening[1],
            text="\n".join(lines[begun + 1 : number]) + "\n",
            mark=mark[1] if mark else "",
            said=(mark[2] or "") if mark else "",
        )
        begun = None
