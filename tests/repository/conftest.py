"""What the tests about the repository itself look at."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def tree(root: Path) -> list[Path]:
    """Every file of the project, from the top: what git tracks, and what it would on `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    files = [Path(name) for name in listed.split("\0") if name and (root / name).is_file()]
    assert Path("pyproject.toml") in files
    return files


@pytest.fixture(scope="session")
def texts(root: Path, tree: list[Path]) -> dict[Path, str]:
    """What people of the project write: code, pages, records and scripts."""
    written = {".py", ".md", ".toml", ".lua", ""}
    return {path: (root / path).read_text("utf-8") for path in tree if path.suffix in written}


@pytest.fixture(scope="session")
def code(texts: dict[Path, str]) -> dict[Path, str]:
    """The source of every Python file."""
    return {path: text for path, text in texts.items() if path.suffix == ".py"}
