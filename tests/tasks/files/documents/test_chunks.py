"""Chunks cover a text, overlap, and are cut where a reader would cut."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.files.documents.made import rows
from tierqueue.tasks.files.documents.chunks import chunked


@given(st.text(alphabet="ab \n#", max_size=400), st.integers(20, 60), st.integers(0, 9))
def test_no_chunk_is_too_long_and_together_they_are_the_text(
    text: str, most: int, overlap: int
) -> None:
    placed = list(chunked(text, most, overlap))
    assert all(text.startswith(chunk, start) for start, chunk in placed)
    found = [chunk for _, chunk in placed]
    assert all(len(chunk) <= most for chunk in found)
    whole = found[0]
    for chunk in found[1:]:
        shared = next(n for n in range(overlap, -1, -1) if whole.endswith(chunk[:n]))
        whole += chunk[shared:]
    assert len(whole) <= len(text)
    if overlap == 0:
        assert whole == text


def test_a_text_is_cut_before_a_heading_sooner_than_between_paragraphs() -> None:
    text = "# One\n" + "word " * 10 + "\n## Two\nmore\n\n" + "words " * 10
    (_, first), *_ = chunked(text, 80, 0)
    assert first == "# One\n" + "word " * 10 + "\n"


def test_chunks_of_a_document_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("A sentence of words. " * 1_000, encoding="utf-8")
    found = rows(path, "chunk")
    for row in found:
        assert path.read_text("utf-8").startswith(row.columns["text"], row.columns["offset"])
    assert [row.columns["chunk"] for row in found] == [1, 2, 3]
    assert [row.place for row in found] == [f"long.txt chunk {n}" for n in (1, 2, 3)]
