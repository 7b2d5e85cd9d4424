"""Rows given back in the format they came in."""

import json
from pathlib import Path

import pytest

from tests.tasks.files.written import given_back, source, values


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_csv_comes_back_byte_for_byte_where_nothing_is_added(
    tmp_path: Path, separator: str, encoding: str, end: str
) -> None:
    rows = ["text,,n", "für die Tür,2,3", '"a ""b"" , ; \t c",=1+1,', "two words,é,0012"]
    said = end.join([line.replace(",", separator) for line in rows]) + end
    work = source(tmp_path, said.encode(encoding), encoding=encoding, separator=separator)
    back = given_back(work.format, work.columns, values(work))
    assert back.decode(encoding) == said


def test_added_columns_stand_behind_the_sources_own(tmp_path: Path) -> None:
    work = source(tmp_path, "text;n\nhello;1\n")
    (row,) = values(work)
    back = given_back(
        work.format,
        [*work.columns, "output", "error"],
        [{**row, "output": {"label": "ü"}, "error": None}],
        ["output", "error"],
    )
    assert back.decode() == 'text;n;output;error\nhello;1;"{""label"": ""ü""}";\n'


def test_what_a_model_said_is_no_formula_and_what_the_source_said_is_untouched(
    tmp_path: Path,
) -> None:
    work = source(tmp_path, "text,n\n=1+1,-3\n")
    (row,) = values(work)
    columns = [*work.columns, "label", "score"]
    said = {**row, "label": "=cmd()", "score": -0.5}
    back = given_back(work.format, columns, [said], ["label", "score"])
    assert back.decode().splitlines()[1] == "=1+1,-3,'=cmd(),-0.5"


def test_a_character_that_the_encoding_has_not_is_an_escape(tmp_path: Path) -> None:
    work = source(tmp_path, "text\nfür\n".encode("cp1252"), encoding="cp1252")
    back = given_back(work.format, ["text", "label"], [{"text": "für", "label": "会"}], ["label"])
    assert back.decode("cp1252") == "text,label\nfür,\\u4f1a\n"


def test_json_lines_keep_their_types_and_keys_of_their_own(tmp_path: Path) -> None:
    lines = '{"id": 12345678901234567890, "ok": true}\n{"id": 1, "extra": [1.5, null]}\n'
    work = source(tmp_path, lines, "work.jsonl")
    assert given_back(work.format, work.columns, values(work)).decode() == lines


def test_no_answer_breaks_a_line_of_json(tmp_path: Path) -> None:
    work = source(tmp_path, '{"text": "a"}\n', "work.jsonl")
    said = {"text": "a", "output": "half \ud83d\nand \u2028 \x1b[2J \x9b"}
    back = given_back(work.format, ["text", "output"], [said], ["output"])
    (line,) = back.decode().splitlines()
    assert json.loads(line) == said
    assert line.isprintable()
