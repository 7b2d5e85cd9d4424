"""The site's pages from outside docs/, and links that leave it; mkdocs calls these by name."""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
"""Files from the top of the checkout, and their places in the site."""

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from the top of the checkout."""
    for source, place in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links lead to pages of the site; one that leaves it becomes its own text."""
    place = page.file.src_path
    sources = {at: source for source, at in PAGES.items()}
    source = ROOT / sources.get(place, f"docs/{place}")

    def led(link: re.Match[str]) -> str:
        target = (source.parent / link[2]).resolve()
        if (found := _place(target)) is None:
            return link[1]
        return f"[{link[1]}]({os.path.relpath(found, Path(place).parent)}{link[3] or ''})"

    return _LINK.sub(led, markdown)


def _place(target: Path) -> str | None:
    """Where a file of the checkout stands in the site, if it does; ``None`` for one outside."""
    from_top = target.relative_to(ROOT).as_posix()
    if from_top in PAGES:
        return PAGES[from_top]
    # A page that is not there is left to mkdocs, which refuses it.
    inside = from_top.startswith("docs/") and target.suffix
    return from_top.removeprefix("docs/") if inside else None
