"""Text and web pages."""

from pathlib import Path

from tests.tasks.files.documents.made import texts

PAGE = """<html><head><title>Not read</title><style>p {}</style></head><body>
<h1>Complaint</h1><p>The <b>lift</b> is&nbsp;stuck.<br>Again.</p><script>steal()</script>
<table><tr><td>day<td>Monday</table><ul><li>one<li>two</ul></body>"""


def test_text_is_read_in_its_encoding(tmp_path: Path) -> None:
    said = "Die Tür klemmt und schließt nicht\n"
    (tmp_path / "a.txt").write_bytes(said.encode("cp1252"))
    (tmp_path / "b.md").write_text("# Tür\n", encoding="utf-16")
    assert texts(tmp_path) == [said, "# Tür\n"]


def test_a_page_is_what_its_reader_sees(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    assert texts(tmp_path) == ["Complaint\nThe lift is stuck.\nAgain.\nday Monday\none\ntwo"]


def test_a_page_nested_as_deep_as_it_likes_costs_one_row(tmp_path: Path) -> None:
    content = "<div>" * 200 + "deep" + "<b>" * 100_000
    (tmp_path / "page.html").write_text(content, encoding="utf-8")
    (said,) = texts(tmp_path)
    assert "deep" in said or said.startswith("it is no HTML")


def test_an_entity_of_the_page_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<!DOCTYPE x [<!ENTITY leak SYSTEM "file:///etc/passwd">]><p>so: &leak;</p>', "utf-8"
    )
    (said,) = texts(tmp_path)
    assert "so: " in said
    assert "root:" not in said


def test_what_is_no_text_or_too_large_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\0b and more of it")
    with (tmp_path / "b.txt").open("wb") as file:
        file.truncate(40_000_001)
    (tmp_path / "c.html").write_bytes(b"")
    nul, large, empty = texts(tmp_path)
    assert nul == "it holds NUL characters, which no text has: it may be no text file"
    assert large == "it has 40,000,001 bytes, more than 40,000,000: split it"
    assert empty.startswith("it is no HTML")
