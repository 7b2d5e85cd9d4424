"""The images and the compose file run what the Procfile runs, with its guards on."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tierqueue.tasks.broker.names import CALLS
from tierqueue.tasks.settings import Settings

BESIDE = {"redis", "postgres", "migrate"}


def read_procfile(root: Path) -> dict[str, tuple[dict[str, str], str]]:
    """Process name -> its leading variables, and the command behind them."""
    processes = {}
    for line in (root / "Procfile").read_text(encoding="utf-8").splitlines():
        name, _, command = line.partition(": ")
        variables = {}
        while found := re.match(r"([A-Z_]+)=(\S+) ", command):
            variables[found.group(1)] = found.group(2)
            command = command[found.end() :]
        processes[name] = (variables, command)
    return processes


@pytest.fixture(scope="module")
def services(root: Path) -> dict[str, dict[str, Any]]:
    """The compose file's services, anchors resolved."""
    loaded = yaml.safe_load((root / "docker/compose.yaml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = loaded["services"]
    return found


def command_of(service: dict[str, Any]) -> str:
    """A service's command as the shell would read it in the Procfile."""
    command = service["command"]
    if isinstance(command, str):
        return command
    shell, option, line = command
    assert (shell, option) == ("sh", "-c")
    return str(line).removeprefix("exec ").replace("$$", "$")


def seconds(duration: str) -> float:
    """Compose's duration, one unit only."""
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def test_compose_runs_every_process_of_the_procfile_and_what_they_need(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    processes = set(read_procfile(root))
    assert processes == {"routing", "gpu", "open_weight", "frontier", "flower", "sandbox"}
    assert set(services) == processes | BESIDE


def test_compose_and_the_procfile_run_the_same_commands(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    for name, (variables, command) in read_procfile(root).items():
        assert shlex.split(command_of(services[name])) == shlex.split(command), name
        environment = services[name].get("environment", {})
        assert {key: environment.get(key) for key in variables} == variables, name


def test_the_procfile_starts_each_process_by_our_own_command(root: Path) -> None:
    commands = {name: command for name, (_, command) in read_procfile(root).items()}
    for kind in CALLS:
        assert commands[kind] == f"tierqueue worker {kind}"
    assert commands["flower"].startswith("tierqueue flower ")


def test_a_worker_is_given_the_grace_period_it_counts_on(
    services: dict[str, dict[str, Any]],
) -> None:
    grace = Settings.model_fields["grace"].default
    for name, service in services.items():
        if name not in {"redis", "postgres"}:
            assert seconds(service["stop_grace_period"]) == grace, name
        told = service.get("environment", {}).get("TIERQUEUE_GRACE")
        assert told is None or float(told) == grace, name


def test_every_tierqueue_variable_of_compose_is_a_setting(
    services: dict[str, dict[str, Any]],
) -> None:
    settings = {f"TIERQUEUE_{name.upper()}" for name in Settings.model_fields}
    for name, service in services.items():
        given = {key for key in service.get("environment", {}) if key.startswith("TIERQUEUE_")}
        assert given <= settings, name


def test_the_broker_keeps_what_it_is_told_and_evicts_nothing(
    services: dict[str, dict[str, Any]],
) -> None:
    words = shlex.split(services["redis"]["command"])
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


def test_nothing_is_published_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for port in service.get("ports", []):
            assert str(port).startswith("127.0.0.1:"), name
        assert service.get("network_mode") != "host", name


def test_flower_beyond_its_loopback_demands_a_login(services: dict[str, dict[str, Any]]) -> None:
    environment = services["flower"]["environment"]
    assert environment["FLOWER_ADDRESS"] == "0.0.0.0"
    # `:?` makes compose refuse to start anything while the variable is unset or empty.
    assert environment["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")


def test_the_compose_file_holds_no_secret(services: dict[str, dict[str, Any]]) -> None:
    secret = re.compile(r"PASSWORD|AUTH|_KEY|TOKEN")
    found = 0
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if secret.search(key):
                found += 1
                assert str(value).startswith("${"), f"{name}: {key}"
    assert found


def test_a_providers_key_reaches_only_the_worker_that_spends_with_it(
    services: dict[str, dict[str, Any]],
) -> None:
    given = {
        name: service["env_file"] for name, service in services.items() if "env_file" in service
    }
    assert given == {"open_weight": ["open_weight.env"], "frontier": ["frontier.env"]}


def test_the_sandbox_runs_only_where_it_is_asked_for(services: dict[str, dict[str, Any]]) -> None:
    assert services["sandbox"]["profiles"] == ["demo"]
    assert [name for name, service in services.items() if "profiles" in service] == ["sandbox"]


def test_every_long_running_service_has_a_health_check(
    services: dict[str, dict[str, Any]],
) -> None:
    for name, service in services.items():
        assert ("healthcheck" in service) == (name != "migrate"), name
        if name != "migrate":
            assert service["restart"] == "unless-stopped", name


def test_no_process_starts_before_the_ledger_is_migrated(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    for name in read_procfile(root):
        if name != "sandbox":
            needs = services[name]["depends_on"]
            assert needs["migrate"] == {"condition": "service_completed_successfully"}, name
            assert needs["redis"] == {"condition": "service_healthy"}, name


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_an_image_has_a_pinned_base_an_unprivileged_user_and_locked_packages(
    root: Path, name: str
) -> None:
    text = (root / "docker" / name).read_text(encoding="utf-8")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages
    assert bases
    assert all(re.fullmatch(r"[\w/.-]+:\d+\.\d+[\w.-]*", base) for base in bases), bases
    final = text.rsplit("\nFROM ", 1)[1] if name == "Dockerfile.gpu" else _stage(text, "slim")
    assert re.findall(r"^USER (\S+)", final, re.MULTILINE)[-1] == "10001"
    for install in re.findall(r"pip install ((?:.|\\\n)*?)(?: &&|\n)", text):
        assert "--require-hashes" in install or "--no-deps" in install, install


def _stage(text: str, name: str) -> str:
    """The lines of one named stage of a Dockerfile."""
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM )", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_an_image_is_sent_only_what_it_is_built_from(root: Path, name: str) -> None:
    lines = (root / "docker" / f"{name}.dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    sent = {line[1:] for line in lines if line.startswith("!")}
    packages = {"router", "ledger", "tasks", "workers", "operations", "migrations"}
    assert packages | {"pyproject.toml"} <= sent
    assert not {".env", "docker", "tests", ".git"} & sent


def test_the_example_environment_names_every_setting_and_no_other(root: Path) -> None:
    text = (root / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#? ?(TIERQUEUE_[A-Z_]+)=", text, re.MULTILINE))
    assert named == {f"TIERQUEUE_{name.upper()}" for name in Settings.model_fields}


def test_the_example_environment_gives_no_secret_a_value(root: Path) -> None:
    text = (root / ".env.example").read_text(encoding="utf-8")
    secrets = re.findall(r"^#? ?(\w*(?:_KEY|PASSWORD|AUTH))=(.*)$", text, re.MULTILINE)
    assert secrets
    assert [name for name, value in secrets if value] == []
