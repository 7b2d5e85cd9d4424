"""Where packages come from is the machine's business: no file of the project names a registry."""

import re
from pathlib import Path

import pytest

REGISTRY = re.compile(
    # Any host by the words that registries use of themselves, and any path of a simple index.
    r"py[p]i\.|python[h]osted|\bdev[p]i\b|arti[f]actory|pkg\.dev|download\.py[t]orch|"
    r"ana[c]onda\.|npm[j]s|(?:^|/)simple/[a-z]",
    re.IGNORECASE | re.MULTILINE,
)
WORDS = (
    *("py" + "pi.", "python" + "hosted", "dev" + "pi", "arti" + "factory", "pkg" + ".dev"),
    *("py" + "torch", "ana" + "conda.", "npm" + "js", "simple/"),
    *("index-url", "index_url", "find-links", "find_links", "trusted-host", "trusted_host"),
)
"""One of these stands in whatever the two patterns find; they are looked for in no time."""
INDEX = re.compile(
    r"(?:--|^|[\s\"'_])(?:extra[-_]index[-_]url|index[-_]url|find[-_]links|trusted[-_]host)"
    r"[\s=\"':\[]+(?:https?:|file:|/|[a-z0-9-]+\.)",
    re.IGNORECASE,
)


def names_a_registry(line: str) -> bool:
    """Whether a line holds a package registry's host or an option that points at one."""
    folded = line.lower()
    return any(word in folded for word in WORDS) and bool(
        REGISTRY.search(line) or INDEX.search(line)
    )


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https:" + "//packages.example/simple",
        "--find-links /some/" + "where",
        "extra-index-url = https:" + "//packages.example",
        "url = files.python" + "hosted.org/packages",
        "see py" + "pi.org",
    ],
)
def test_a_registry_is_recognised(line: str) -> None:
    assert names_a_registry(line)


@pytest.mark.parametrize(
    "line", ["uv pip compile --no-emit-index-url --no-emit-find-links", "celery==5.7.0 \\"]
)
def test_a_lock_and_its_command_name_none(line: str) -> None:
    assert not names_a_registry(line)


def test_no_file_names_a_registry(root: Path, tree: list[Path]) -> None:
    texts = ((path, (root / path).read_text(encoding="utf-8", errors="replace")) for path in tree)
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts
        if names_a_registry(text)
        for number, line in enumerate(text.splitlines(), start=1)
        if names_a_registry(line) and path != Path(__file__).relative_to(root)
    ]
    assert found == []


def test_every_locked_package_has_a_release_and_hashes(root: Path) -> None:
    locks = sorted((root / "requirements").glob("*.txt"))
    assert {lock.stem for lock in locks} == {
        "base",
        "build",
        "cpu",
        "demo",
        "dev",
        "docs",
        "gpu",
        "workers",
    }
    for lock in locks:
        text = lock.read_text(encoding="utf-8")
        assert "://" not in text, lock.name
        packages = re.split(r"\n(?=[a-z0-9])", text.strip(), flags=re.IGNORECASE)
        loose = [
            package.splitlines()[0]
            for package in packages
            if not re.match(r"[\w.\[\],-]+==\S+", package) or "--hash=sha256:" not in package
        ]
        assert packages
        assert loose == [], lock.name


def test_every_lock_has_the_releases_that_the_tests_run_with(root: Path) -> None:
    tested = releases(root / "requirements/dev.txt")
    for lock in sorted((root / "requirements").glob("*.txt")):
        shared = {name: release for name, release in releases(lock).items() if name in tested}
        assert shared, lock.name
        assert shared == {name: tested[name] for name in shared}, lock.name


def releases(lock: Path) -> dict[str, str]:
    """What a lock pins: name -> release."""
    found = re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", lock.read_text("utf-8"), re.MULTILINE
    )
    return dict(found)
