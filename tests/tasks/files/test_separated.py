"""CSV in the separators and encodings people have, and what is refused before anything is read."""

import csv
from pathlib import Path

import pytest

from tests.tasks.files.written import source, values
from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files import text
from tierqueue.tasks.files.opening import open_source


def test_a_csv_is_read_row_by_row_with_its_header_as_names(tmp_path: Path) -> None:
    work = source(tmp_path, 'text,risk\nhello,internal\n"two\nlines",\n')
    assert (work.columns, work.total, work.notes) == (("text", "risk"), 2, ())
    assert [(row.number, row.place, row.columns, row.wrong) for row in work.rows()] == [
        (0, "line 2", {"text": "hello", "risk": "internal"}, None),
        (1, "line 4", {"text": "two\nlines", "risk": ""}, None),
    ]


def test_a_row_with_too_few_fields_is_that_rows_own_affair(tmp_path: Path) -> None:
    first, second = source(tmp_path, "text,risk\nhello\nagain,internal\n").rows()
    assert first.wrong == "1 fields, the header has 2"
    assert first.columns == {"text": "hello"}
    assert (second.wrong, second.columns) == (None, {"text": "again", "risk": "internal"})


@pytest.mark.parametrize(
    ("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (",", None)]
)
def test_the_separator_is_found_out_and_said(
    tmp_path: Path, separator: str, name: str | None
) -> None:
    lines = [["text", "risk", "note"], ["Sir, I am", "internal", 'a "b"; c'], ["so, what", "", ""]]
    path = tmp_path / "made.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows(lines)
    work = source(tmp_path, path.read_bytes())
    assert work.notes == (() if name is None else (f"separated by {name}",))
    assert [list(row.values()) for row in values(work)] == lines[1:]
    assert work.format.separator == separator


def test_a_text_with_commas_in_one_column_is_one_column(tmp_path: Path) -> None:
    work = source(tmp_path, 'text\n"a, b"\n"c; d"\nplain\n')
    assert values(work) == [{"text": "a, b"}, {"text": "c; d"}, {"text": "plain"}]


def test_a_first_line_of_excel_states_the_separator(tmp_path: Path) -> None:
    work = source(tmp_path, "sep=;\ntext;risk\na,b;internal\n")
    assert values(work) == [{"text": "a,b", "risk": "internal"}]
    assert next(work.rows()).place == "line 3"


def test_a_separator_that_is_stated_is_not_found_out(tmp_path: Path) -> None:
    work = source(tmp_path, "text;risk\na;b\n", separator=",")
    assert (work.columns, work.notes) == (("text;risk",), ())
    assert source(tmp_path, "a\tb\n1\t2\n", separator="tab").columns == ("a", "b")
    with pytest.raises(InvalidItem, match="'::' is no separator"):
        source(tmp_path, "a\n1\n", separator="::")


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", False),
        ("utf-8-sig", False),
        ("utf-16", False),
        ("utf-32", False),
        ("utf-16-le", True),
        ("utf-16-be", True),
        ("cp1252", True),
    ],
)
def test_the_encoding_is_found_out_and_a_guess_is_said(
    tmp_path: Path, encoding: str, guessed: bool
) -> None:
    text = (
        "text;where\nDie Tür schließt nicht, für Größe 38 zu schmal.;Köln\nÄrger mit Öl;Münster\n"
    )
    work = source(tmp_path, text.encode(encoding))
    assert work.columns == ("text", "where")
    assert [row["where"] for row in values(work)] == ["Köln", "Münster"]
    assert any(note.startswith("read as ") for note in work.notes) is guessed


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße, naïve\nok", "cp1252"),
        ("10 €\n20 €", "cp1252"),
        ("José\nZoë\nFrançois", "cp1252"),
        ("Não recebi o cartão", "cp1252"),
        ("Æblegrød på øen", "cp1252"),
        ("Räksmörgås på ön", "cp1252"),
        ("Łódź\nKraków", "cp1250"),
        ("Zażółć gęślą jaźń", "cp1250"),
        ("Здравствуйте, верните деньги", "cp1251"),
    ],
)
def test_a_few_letters_tell_the_encoding_that_most_files_with_them_have(
    tmp_path: Path, text: str, encoding: str
) -> None:
    work = source(tmp_path, f"text\n{text}\n".encode(encoding), separator=";")
    assert [row["text"] for row in values(work)] == text.split("\n")
    assert work.notes == (f"read as {encoding}",)


def test_cyrillic_of_an_old_program_is_found_out(tmp_path: Path) -> None:
    said = (
        b"\xcd\xe5 \xec\xee\xe3\xf3 \xe2\xee\xe9\xf2\xe8 \xe2 \xea\xe0\xe1\xe8\xed\xe5\xf2,"
        b" \xe3\xe4\xe5 \xec\xee\xe9 \xe7\xe0\xea\xe0\xe7"
    )
    work = source(tmp_path, b"text;n\n" + said + b";1\n")
    assert values(work) == [{"text": said.decode("cp1251"), "n": "1"}]
    assert work.notes == ("read as cp1251", "separated by semicolons")


def test_an_encoding_that_is_stated_is_taken(tmp_path: Path) -> None:
    work = source(tmp_path, "text\nprix: 5 \u20ac\n".encode("iso8859-15"), encoding="latin9")
    assert values(work) == [{"text": "prix: 5 \u20ac"}]
    with pytest.raises(InvalidItem, match="is not utf-8 text: see line 2"):
        source(tmp_path, b"text\nca\xe9\n", encoding="utf8")
    with pytest.raises(InvalidItem, match="'ebcdicish' is no encoding"):
        source(tmp_path, "text\na\n", encoding="ebcdicish")
    with pytest.raises(InvalidItem, match="'base64' is no encoding"):
        source(tmp_path, "text\na\n", encoding="base64")


def test_a_letter_far_down_the_file_tells_the_encoding(tmp_path: Path) -> None:
    far = "text\n" + "plain words\n" * 40_000 + "für die Tür der Größe\n" * 20
    assert values(source(tmp_path, far.encode("cp1252")))[-1] == {"text": "für die Tür der Größe"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_there_is_ends_a_line(tmp_path: Path, end: str) -> None:
    work = source(tmp_path, f"text,n{end}a,1{end}b,2{end}")
    assert values(work) == [{"text": "a", "n": "1"}, {"text": "b", "n": "2"}]
    assert work.format.line_end == end


def test_cells_of_200_kilobytes_and_rows_of_nothing_are_read(tmp_path: Path) -> None:
    work = source(tmp_path, f"text\n{'x' * 200_000}\n\n\nlast\n")
    assert [len(row["text"]) for row in values(work)] == [200_000, 4]


def test_a_nul_character_is_its_rows_own_affair(tmp_path: Path) -> None:
    bad, good = source(tmp_path, "text,n\na\0b,1\nc,2\n").rows()
    assert bad.wrong is not None
    assert "NUL character" in bad.wrong
    assert good.wrong is None


def test_a_column_without_a_name_is_named_by_its_place(tmp_path: Path) -> None:
    work = source(tmp_path, "text,,\na,b,c\n")
    assert work.columns == ("text", "column_2", "column_3")
    assert work.format.header == ("text", "", "")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("text\n", "has no rows"),
        ("text,text\na,b\n", "'text' stands there twice"),
        ('text\nfine\n"never closed\nmore\n', r"after line 2 \(a quotation mark is never closed"),
    ],
)
def test_a_file_that_cannot_be_a_job_is_refused_with_the_reason(
    tmp_path: Path, content: str, complaint: str
) -> None:
    with pytest.raises(InvalidItem, match=complaint):
        source(tmp_path, content)


def test_a_header_of_very_many_columns_takes_no_time_by_its_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    names = ",".join(f"c{n}" for n in range(200_000))
    path.write_text(f"{names}\n{',' * 199_999}\n", encoding="utf-8")
    assert len(open_source(path).columns) == 200_000


def test_blank_lines_before_the_header_are_none(tmp_path: Path) -> None:
    path = tmp_path / "blank.csv"
    path.write_text("\n\nid,text\n1,x\n", encoding="utf-8")
    source = open_source(path)
    assert (source.columns, source.total) == (("id", "text"), 1)
    assert [(row.columns["text"], row.place) for row in source.rows()] == [("x", "line 4")]


def test_a_file_without_line_ends_is_refused_and_not_loaded_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_LONGEST_LINE", 1_000)
    for name in ("one.csv", "one.jsonl"):
        path = tmp_path / name
        path.write_text("x" * 2_000, encoding="utf-8")
        with pytest.raises(InvalidItem, match="a line of more than 1,000 characters"):
            open_source(path)


def test_what_is_no_csv_any_more_when_it_is_read_again_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,text\n1,x\n", encoding="utf-8")
    source = open_source(path)
    path.write_text('id,text\n1,"x', encoding="utf-8")
    with pytest.raises(InvalidItem, match="changed while it was read"):
        list(source.rows())
    path.write_text("", encoding="utf-8")
    assert list(source.rows()) == []


def test_what_is_no_csv_names_the_line_before(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text('id,text\n1,x\n2,"a"b\n', encoding="utf-8")
    with pytest.raises(InvalidItem, match="after line 2"):
        open_source(path)


def test_a_column_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text("id,te\0xt\n1,x\n", encoding="utf-8")
    with pytest.raises(InvalidItem, match="NUL"):
        open_source(path)
