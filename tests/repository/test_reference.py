"""The pages of docs/reference are made from the code, are current, and leave nothing out."""

import re
from pathlib import Path

import pytest

from tests.repository.documents import ROOT
from tierqueue.ledger import tables as ledger_tables
from tierqueue.router.policy.duration import parse_duration
from tierqueue.router.policy.policy import parse_policy
from tools.reference import (
    FOLDER,
    PAGES,
    broker,
    commands,
    log_events,
    metrics,
    policy,
    tables,
)
from tools.reference.reading import fields, modules, sources

SOURCES = [(path, (ROOT / path).read_text(encoding="utf-8")) for path in modules.modules()]
UNITS = re.compile(r"(?i)\b(seconds|tokens|calls|items|claims|shares?|times)\b")


def written(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says_now(name: str) -> None:
    assert written(name) == PAGES[name](), "run `make reference`"


def test_no_page_is_left_of_what_is_no_longer_made() -> None:
    assert {path.name for path in FOLDER.glob("*.md")} == PAGES.keys()


def test_every_key_of_the_policy_says_what_it_does_and_in_which_unit() -> None:
    silent = []
    for heading, model in policy.tables().items():
        texts = sources.fields(model)
        for key in policy.keys(model):
            value = fields.written(model.model_fields[key])
            text = texts.get(key, "")
            if not text or ("number" in value and "table" not in value and not UNITS.search(text)):
                silent.append(f"{heading} {key}")
    assert silent == []


def test_every_key_of_the_policy_stands_in_an_example_that_can_be_used() -> None:
    shown = policy.examples()
    assert shown.keys() == policy.tables().keys()
    text = "\n".join(example for examples in shown.values() for example in examples)
    for examples in shown.values():
        for example in examples:
            parse_policy(example, "example")
    missing = [
        f"{heading} {key}"
        for heading, model in policy.tables().items()
        for key in policy.keys(model)
        if not re.search(rf"(^|[\[.{{ ]){key}( =|\.|\]|$)", text, re.MULTILINE)
    ]
    assert missing == []


def test_every_command_has_its_text_an_example_and_help_for_every_option() -> None:
    found = list(commands.commands())
    assert len(found) > 25
    for context, command in found:
        path = context.command_path
        assert f"\n## {path}\n" in written("commands.md")
        assert command.help, path
        example = (command.epilog or "").removeprefix("Example: ")
        assert path in example, path
        silent = [option.opts for option in commands.options(command) if not option.help]
        assert silent == [], path
        for option in commands.options(command):
            assert f"`{', '.join(option.opts)}" in written("commands.md"), path


def test_every_log_event_of_the_code_is_listed_with_its_meaning() -> None:
    call = re.compile(
        r"\b_?log\s*\.\s*(?:debug|info|warning|error|exception|critical)\(\s*\"([^\"]+)\""
    )
    logged = {name for _, text in SOURCES for name in call.findall(text)}
    assert len(logged) > 40
    assert {event.name for event in log_events.events()} == logged
    assert log_events.meanings().keys() == logged


def test_log_events_are_named_alike() -> None:
    """What it is about, then what happened to it."""
    names = log_events.meanings()
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)*", name)] == []
    elsewhere = {"look", "told", "said", "kept", "forgot", "goodbye"}
    assert [name for name in names if elsewhere & set(name.split("_"))] == []


def test_no_module_logs_otherwise() -> None:
    other = re.compile(
        r"\blogging\.(debug|info|warning|error|exception)\(|^_?log = logging", re.MULTILINE
    )
    loggers = re.compile(r"^(\w+) = structlog\.get_logger", re.MULTILINE)
    assert [str(path) for path, text in SOURCES if other.search(text)] == []
    assert {name for _, text in SOURCES for name in loggers.findall(text)} <= {"log", "_log"}


def test_every_column_of_the_ledger_says_what_it_holds_and_in_which_unit() -> None:
    texts = tables.columns()
    described = {name: set(columns) for name, columns in texts.items()}
    defined = {
        name: {column.name for column in table.columns}
        for name, table in ledger_tables.metadata.tables.items()
    }
    assert described == defined
    unit = re.compile(r"(?i)\btime\b|nano-dollars|order of writing|calls or tokens")
    unsaid = [
        f"{table.name}.{column.name}"
        for table in ledger_tables.metadata.tables.values()
        for column in table.columns
        if "BIGINT" in str(column.type) and not unit.search(texts[table.name][column.name])
    ]
    assert unsaid == []


def test_every_key_at_the_broker_that_the_code_names_is_listed() -> None:
    named = set(broker.in_code())
    assert len(named) >= 7
    listed = [*broker.stated()["queues"], *broker.stated()["keys"]]
    missing = [key for key in named if not any(name.startswith(key) for name in listed)]
    assert missing == []
    ours = [name for name in listed if name.startswith("tierqueue")]
    assert [name for name in ours if not any(name.startswith(key) for key in named)] == []


def test_every_metric_is_listed_with_its_labels() -> None:
    found = list(metrics.metrics())
    assert len({gauge.name for gauge in found}) == len(found) > 10
    assert {gauge.labels for gauge in found} >= {("tier",), ("code", "wrong"), ()}
    assert all(gauge.help for gauge in found)
    assert {label for gauge in found for label in gauge.labels} == metrics.LABELS.keys()


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    beside = [
        path.relative_to(ROOT)
        for folder in ("examples", "sandbox")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    every = [*modules.modules(), *beside]
    assert [str(path) for path in every if not modules.first_line(path)] == []
    page = written("modules.md")
    assert all(f"`{path.name}`" in page for path, _ in SOURCES if path.name != "__init__.py")


def test_a_package_that_is_installed_is_on_the_map() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = set(re.findall(r'^"tierqueue\.(\w+)" = "\w+"', text, re.MULTILINE))
    assert packages <= set(modules.PACKAGES)
    assert packages == {path.parts[0] for path, _ in SOURCES}
    assert Path(FOLDER / "modules.md").is_file()


def test_a_default_is_written_as_the_policy_writes_it() -> None:
    page = (ROOT / "docs" / "reference" / "policy.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if " | duration: " in line]
    defaults = [row[2].strip('`" ') for row in rows if row[2].startswith("`")]
    assert "5m" in defaults
    assert all(parse_duration(default) > 0 for default in defaults)
