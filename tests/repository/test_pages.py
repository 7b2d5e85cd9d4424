"""The documents hang together: links lead somewhere, commands exist, nothing is left out."""

import re
import unicodedata
from pathlib import Path

import click
import pytest
import yaml

from tests.repository.documents import ROOT
from tierqueue.operations.cli import root as command
from tools.reference.reading import modules

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
MADE = "python.md"
"""Its anchors are the site's."""


def text_of(path: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {slug(heading) for heading in headings}


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading.lower())
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(text_of(page)):
        there = (page.parent / target).resolve() if target else page
        if not there.exists():
            broken.append(target)
        elif anchor and there.suffix == ".md" and there.name != MADE:
            broken += [] if anchor in anchors(there) else [f"{target}#{anchor}"]
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_that_a_sentence_names_exists(page: Path) -> None:
    unknown = [
        words
        for words in re.findall(r"`tierqueue ([^`]+)`", text_of(page))
        if page.name != "CHANGELOG.md" and not exists(words.split())
    ]
    assert unknown == []


def exists(words: list[str]) -> bool:
    """Whether the words begin with a command's name; one that stands for a group names no more."""
    found: click.Command | None = command
    for word in words:
        if not isinstance(found, click.Group) or not re.fullmatch(r"[a-z-]+", word):
            break
        found = found.get_command(click.Context(found), word)
    return found is not None


def test_every_page_is_in_the_site() -> None:
    config = (ROOT / "tools" / "site" / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/.-]+\.md", str(yaml.safe_load(config)["nav"]))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(listed) - {"index.md", "CONTRIBUTING.md", "CHANGELOG.md"} == pages


def test_every_finding_says_at_night_what_it_looks_like_and_what_to_do() -> None:
    sources = [(ROOT / path).read_text(encoding="utf-8") for path in modules.modules()]
    codes = {
        code
        for text in sources
        if "Finding(" in text
        for code in re.findall(r"\bcode=\"(\w+)\"", text)
    }
    assert len(codes) > 20
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    part = page.partition("## What each finding means\n")[2].partition("\n\n`died` is wrong")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| `")]
    assert all(len(row) == 4 and all(len(cell) > 5 for cell in row) for row in rows)
    listed = [code for row in rows for code in re.findall(r"`(\w+)`", row[0])]
    assert sorted(listed) == sorted(codes)


def test_every_decision_says_when_it_was_made_and_whether_it_holds() -> None:
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len(decisions) >= 4
    for path in decisions:
        second = path.read_text(encoding="utf-8").split("\n\n")[1]
        state = r"(in force|replaced by \[.+\]\(.+\))"
        assert re.fullmatch(rf"Decided \d{{4}}-\d\d-\d\d; {state}\.", second), path.name
