"""One meaning a word: what the glossary calls otherwise is called so nowhere."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

INSTEAD = {
    "road": "lifecycle, app",
    "room": "package, kind, capacity, headroom",
    "standing": "conditions, status, in force, snapshot",
    "house engine": "own engine",
    "house's engine": "own engine",
    "house_engine": "own engine",
    "houseengine": "own engine",
    "house tier": "gpu tier",
    "dear": "expensive, high",
    "dearer": "more expensive",
    "dearest": "the most expensive, max_rate",
}
"""A word and what is said instead; its plural and its capitals count as well."""

STORED = {
    ("room", "ledger/tables/operator_tables.py"): "a column",
    ("room", "ledger/monitoring/progress.py"): "a column",
    ("room", "tools/reference/tables.toml"): "a column",
    ("room", "docs/reference/tables.md"): "a column",
    ("room", "operations/cli/system/health.py"): "a key of its JSON",
    ("dearer", "operations/cli/output/decision.py"): "a code in old rows",
    ("dearer", "tests/operations/cli/work/test_cli_item.py"): "a code in old rows",
    ("dearer", "tests/operations/cli/work/test_why.py"): "a code in old rows",
}
"""Names that stay for as long as rows and scripts bear them."""

ELSEWHERE = (
    "CHANGELOG.md",
    "migrations/",
    "tests/repository/test_words.py",
    "Makefile",
    "bench/texts/shifted.py",
    "examples/tiny_tickets/noise.py",
)
"""What was said in former releases, names of variables, and what customers write."""


@pytest.mark.parametrize("word", INSTEAD)
def test_a_word_is_used_for_nothing_that_has_another(texts: dict[Path, str], word: str) -> None:
    pattern = re.compile(rf"(?<![A-Za-z]){word}s?(?![A-Za-z])", re.IGNORECASE)
    lines = []
    for path, text in texts.items():
        if word not in text.casefold():
            continue
        if str(path).startswith(ELSEWHERE) or (word, str(path)) in STORED:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                lines.append(f"{path}:{number}: {line.strip()}")
    assert lines == [], f"say {INSTEAD[word]}"


PACKAGES = ("router", "ledger", "tasks", "workers", "operations")
UNCLEAR = {"told", "said", "kept", "keep", "found", "look", "tell", "asked", "seen", "meant", "say"}
"""What a function is not called: who is notified, what is checked, what comes back?"""

NO_NOUN = re.compile(
    r"([a-z](ed|ing)|Again|Ahead|Before|Begun|Below|Beside|Built|Chosen|Elsewhere|Full|Held|Idle"
    r"|Kept|Known|Made|Meant|Missing|Off|Onward|Owed|Paid|Past|Ready|Seen|Spent|Told|Waiting)$"
)
"""How a name ends that says what was done and not what it is: a ``Hold``, and not ``Held``."""

NOUNS = re.compile(
    r"(Ceiling|Embedding|Encoding|Ending|Finding|Meaning|Need|Parking|Reading|Sampling|Spending"
    r"|Timing|Warning|spending|SwitchOff|ItemsAhead|ItemsBelow|RowsBelow)$"
)

ENDS = {"router/outcome.py", "router/errors.py"}
"""How a call ended and how an item did, as the trade and the ledger say it."""

ANSWERS = {"Answered", "Unsaid"}
"""Names of output models, which are sent to models with their schemas."""

NO_MODULES = {
    *("accepted", "answered_below", "as_started", "asked_first", "earlier", "expected", "foreseen"),
    *("forgotten", "given_back", "going_on", "granted", "kept", "measured", "observed", "opened"),
    *("outside", "remembered", "said", "spent", "stated", "told", "unkept", "used_up"),
}
"""What a module or a folder is not called: it holds a store, an export, options."""


def test_a_function_says_what_it_does(root: Path, tree: list[Path]) -> None:
    unclear = []
    names = "|".join(UNCLEAR)
    for path in tree:
        if path.suffix != ".py" or path.parts[0] not in PACKAGES:
            continue
        text = (root / path).read_text(encoding="utf-8")
        if not re.search(rf"def\s+_*({names})_*\b", text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                unclear += [f"{path}:{node.lineno}"] if node.name.strip("_") in UNCLEAR else []
    assert unclear == []


SHARED = {
    "Call": "of a model, and of what stands in for one in a team's tests",
    "Demands": "an item's, and how a call states them to a type checker",
    "Rejected": "how a call ended, and the error of an item that ended so",
}
"""Names that one thing bears in two forms."""

CLASS = re.compile(r"^ *class (\w+)(\(.*(Exception|Error)\))?", re.MULTILINE)


def test_a_class_is_called_by_what_it_is(root: Path, tree: list[Path]) -> None:
    no_nouns = []
    for path in tree:
        if path.suffix != ".py" or path.parts[0] not in PACKAGES or str(path) in ENDS:
            continue
        for name, error, _ in CLASS.findall((root / path).read_text(encoding="utf-8")):
            if NO_NOUN.search(name) and not (error or NOUNS.search(name) or name in ANSWERS):
                no_nouns.append(f"{path}: {name}")
    assert no_nouns == []


def test_two_things_have_two_names(root: Path, tree: list[Path]) -> None:
    homes: dict[str, list[str]] = {}
    for path in tree:
        if path.suffix == ".py" and path.parts[0] in PACKAGES:
            for name, *_ in CLASS.findall((root / path).read_text(encoding="utf-8")):
                homes.setdefault(name, []).append(str(path))
    twice = {name: where for name, where in homes.items() if len(where) > 1 and name[0] != "_"}
    assert set(twice) == set(SHARED), twice


def test_a_module_is_called_by_what_it_holds(tree: list[Path]) -> None:
    ours = [path for path in tree if path.suffix == ".py" and path.parts[0] in PACKAGES]
    assert [str(path) for path in ours if {*path.with_suffix("").parts} & NO_MODULES] == []


QUESTION = re.compile(r'r?"""(What|Who|Whose|How|Which|Where|When|Why|Whether)\b')
"""How a sentence begins that asks; the map of the packages shows what a module is."""


def test_a_module_says_first_what_it_is(code: dict[Path, str]) -> None:
    ours = {path: text for path, text in code.items() if path.parts[0] != "tests"}
    assert [str(path) for path, text in ours.items() if QUESTION.match(text)] == []


UNIT = re.compile(r"(micro|milli|)seconds?\b", re.IGNORECASE)
SAYS_IT = re.compile(r"(SECONDS?|_US|_MS)$")
BARE = re.compile(r"^_?(SECOND|MINUTE|HOUR|DAY|WEEK|MICROSECOND)$")
"""A length of time without the unit that it is counted in."""

SUSPECT = re.compile(
    r"^(?:[\"']+(?:micro|milli|)seconds?|"
    r"(?:\w+, )*_?(?:SECOND|MINUTE|HOUR|DAY|WEEK|MICROSECOND))\b",
    re.IGNORECASE | re.MULTILINE,
)
"""What such a length looks like in a source; to parse it takes a hundred times as long."""


def test_a_duration_has_its_unit_in_its_name(code: dict[Path, str]) -> None:
    silent = set()
    for path, text in code.items():
        if path.parts[0] not in PACKAGES or not SUSPECT.search(text):
            continue
        body = ast.parse(text).body
        for stated, after in pairwise(body):
            for name in _constants(stated):
                about_time = UNIT.match(_text(after)) or BARE.search(name)
                if about_time and not SAYS_IT.search(name):
                    silent.add(f"{path}: {name}")
    assert silent == set()


DURATIONS = {"lease", "grace", "patience", "resend", "idle_reads", "idle_writes", "frozen"}
"""Lengths of time that code hands on: microseconds in the ledger, seconds in a process."""

HANDED_ON = re.compile(rf"\b_?({'|'.join(DURATIONS)})\b *(:|=(?!=|True))", re.IGNORECASE)
"""Where a source may name one so; to parse all takes a hundred times as long."""

SETTINGS = "tasks/settings.py"
"""Its fields are called as the variables of the environment are, which bear no unit."""


def test_a_duration_is_handed_on_with_its_unit_in_its_name(root: Path, tree: list[Path]) -> None:
    silent = []
    for path in tree:
        if path.suffix != ".py" or path.parts[0] not in {*PACKAGES, "bench", "tests"}:
            continue
        text = (root / path).read_text(encoding="utf-8")
        if str(path) == SETTINGS or not HANDED_ON.search(text):
            continue
        named = _handed_on(ast.parse(text))
        silent += [f"{path}:{line}" for line, name in named if name.strip("_").lower() in DURATIONS]
    assert silent == []


def _handed_on(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.arg(arg=name, lineno=line):
                yield line, name
            case ast.AnnAssign(target=ast.Name(id=name), lineno=line):
                yield line, name
            case ast.Name(id=name, ctx=ast.Store(), lineno=line) if name.isupper():
                yield line, name
            case ast.Attribute(attr=name, ctx=ast.Store(), lineno=line):
                yield line, name


def _constants(node: ast.stmt) -> list[str]:
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    return [name.id for name in names if isinstance(name, ast.Name) and name.id.isupper()]


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return str(node.value.value)
    return ""
