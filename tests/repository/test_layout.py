"""The tree is what the design says: these packages, these files, pages read in one sitting."""

import ast
import re
from collections import Counter
from pathlib import Path
from statistics import median

from tests.shares import TOGETHER

PACKAGES = {"router", "ledger", "tasks", "workers", "operations", "migrations"}
BESIDE = {"tests", "bench", "examples", "sandbox", "docs", "docker", "requirements", "tools", ".ci"}
FILES = {
    ".env.example",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "Procfile",
    "README.md",
    "alembic.ini",
    "pyproject.toml",
    "setup.py",
}
OPTIONAL = {".editorconfig", ".gitattributes", "tierqueue.toml"}
VAGUE = re.compile(r"utils?|helpers?|managers?|services?|handlers?|common|core|data|processors?")


def test_the_top_level_holds_what_it_should_and_nothing_else(tree: list[Path]) -> None:
    top = {path.parts[0] for path in tree}
    assert top >= PACKAGES | BESIDE | FILES
    assert top - PACKAGES - BESIDE - FILES - OPTIONAL == set()


def test_nearly_every_module_is_read_in_one_sitting(root: Path, tree: list[Path]) -> None:
    lines = {
        path: len((root / path).read_text(encoding="utf-8").splitlines())
        for path in tree
        if path.suffix == ".py" and path.name != "__init__.py"
    }
    packages = {path: count for path, count in lines.items() if path.parts[0] in PACKAGES}
    long = {str(path): count for path, count in lines.items() if count > 300}
    assert len(long) <= len(lines) // 30, long
    assert all(count <= 400 for count in lines.values()), long
    assert median(packages.values()) <= 130


def test_no_package_grows_too_wide(tree: list[Path]) -> None:
    modules = Counter(
        str(path.parent)
        for path in tree
        if path.suffix == ".py" and path.parts[0] in {*PACKAGES, "sandbox", "bench", "tools"}
        if path.name != "__init__.py"
    )
    del modules["migrations/versions"]  # a revision a change of the tables, for ever
    assert {package: count for package, count in modules.items() if count > 13} == {}


def test_no_folder_of_tests_grows_too_wide(tree: list[Path]) -> None:
    files = Counter(
        str(path.parent)
        for path in tree
        if path.parts[0] == "tests" and path.name.startswith("test_")
    )
    assert {folder: count for folder, count in files.items() if count > 13} == {}


OF_NO_PACKAGE = {"acceptance", "live", "repository"}
"""Folders of tests that are about the system, and not about a part of its code."""


def test_a_folder_of_tests_is_named_for_the_folder_or_the_module_that_it_tests(
    root: Path, tree: list[Path]
) -> None:
    folders = {
        path.parent.relative_to("tests")
        for path in tree
        if path.parts[0] == "tests" and path.name.startswith("test_")
    }
    strange = [
        str(folder)
        for folder in folders
        if folder.parts[0] not in OF_NO_PACKAGE
        if not (root / folder).is_dir() and not (root / folder).with_suffix(".py").is_file()
    ]
    assert strange == []


def test_every_package_says_what_belongs_in_it(root: Path, tree: list[Path]) -> None:
    packages = [
        path
        for path in tree
        if path.parts[0] in {*PACKAGES, "bench", "tools"} and path.name == "__init__.py"
    ]
    silent = [
        str(path) for path in packages if not (root / path).read_text("utf-8").startswith('"""')
    ]
    assert silent == []


def test_no_module_has_a_name_that_says_nothing(tree: list[Path]) -> None:
    vague = [
        str(path)
        for path in tree
        if path.suffix == ".py"
        and any(VAGUE.fullmatch(word) for part in path.parts for word in Path(part).stem.split("_"))
    ]
    assert vague == []


def test_loops_name_what_they_hold(code: dict[Path, str]) -> None:
    nameless = []
    for path, text in code.items():
        # A name in a target or among arguments; prose is not parsed for its commas alone.
        if not re.search(r"\beach\s*(?:[,):=\].\[#\\]|in\b)", text):
            continue
        for node in ast.walk(ast.parse(text)):
            names: list[ast.expr | ast.arg] = []
            if isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                names = list(ast.walk(node.target))  # type: ignore[arg-type]
            elif isinstance(node, ast.arg):
                names = [node]
            held = {getattr(name, "id", getattr(name, "arg", None)) for name in names}
            nameless += [f"{path}:{names[0].lineno}"] if "each" in held else []
    assert nameless == []


def test_redis_is_spoken_in_few_places_and_its_keys_are_named_in_one(
    root: Path, tree: list[Path]
) -> None:
    speaks, names_keys = set(), set()
    for path in tree:
        if path.suffix != ".py" or path.parts[0] not in PACKAGES:
            continue
        text = (root / path).read_text(encoding="utf-8")
        if re.search(
            r"^\s*(import|from) redis\b|backend\.client\b|register_script", text, re.MULTILINE
        ):
            speaks.add(str(path))
        if re.search(r"[\"']tierqueue([:-])[a-z-]+(?<!-loop)(\1|[\"'])", text):
            names_keys.add(str(path))
    assert speaks == {
        "tasks/broker/client.py",
        "tasks/broker/memory.py",
        "tasks/broker/once.py",
        "tasks/results/backend.py",
        "workers/limits/token_expectation.py",
        "workers/limits/learned_limits.py",
        "workers/limits/limiter.py",
    }
    assert names_keys == {"tasks/broker/names.py"}


def test_no_two_test_files_share_a_name(tree: list[Path]) -> None:
    names = [path.name for path in tree if path.parts[0] == "tests" and path.suffix == ".py"]
    twice = {name for name in names if names.count(name) > 1} - {"conftest.py"}
    assert twice == set()
    assert "__init__.py" not in names


def test_what_one_process_of_make_quick_runs_together_is_there(root: Path) -> None:
    stated = [name for group in TOGETHER for name in group]
    assert [name for name in stated if not (root / "tests" / name).exists()] == []


def test_the_changelog_begins_with_what_is_unreleased(root: Path) -> None:
    headings = re.findall(r"^## (.*)$", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings
    assert headings[0] == "[Unreleased]"


def test_the_license_is_the_full_apache_license(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_contributing_begins_with_the_three_commands_of_a_newcomer(root: Path) -> None:
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    first = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert first is not None
    commands = [line.split("#")[0].strip() for line in first.group(1).splitlines()]
    assert commands == ["make setup", "make demo", "make check"]
    assert text.index("```sh") < 400
