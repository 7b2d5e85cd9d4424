"""Documents made by real programs, for the tests of their readers."""

from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from tierqueue.tasks.files.opening import open_source
from tierqueue.tasks.files.source import Reading, SourceRow


def pdf(path: Path, pages: list[str]) -> Path:
    """A PDF with a text layer, as matplotlib writes it."""
    with PdfPages(path) as file:
        for said in pages:
            figure = Figure(figsize=(6, 4))
            figure.text(0.1, 0.5, said)
            file.savefig(figure)
    return path


def scan(path: Path, said: str) -> Path:
    """A PDF of a picture alone, as a scanner writes it."""
    image = Image.new("RGB", (1_200, 400), "white")
    ImageDraw.Draw(image).text((60, 150), said, fill="black", font=ImageFont.load_default(60))
    image.save(path, "PDF", resolution=150)
    return path


def rows(path: Path, by: str | None = None) -> list[SourceRow]:
    work = open_source(path, Reading(by=by))  # type: ignore[arg-type]
    found = list(work.rows())
    assert [row.number for row in found] == list(range(work.total))
    return found


def texts(path: Path, by: str | None = None) -> list[str]:
    return [row.wrong or row.columns["text"] for row in rows(path, by)]
