"""Images as a source: a row a file of a folder or a pattern, with its name and nothing of it."""

from collections.abc import Iterator
from pathlib import Path

from tierqueue.router.errors import InvalidItem
from tierqueue.tasks.files.documents import places
from tierqueue.tasks.files.source import Format, Source, SourceRow

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def read(path: Path) -> Source:
    """The files of a place by name, counted; raises ``InvalidItem`` where there is none.

    A file with another ending is a row that says so. What an image really is, is looked at when its
    row is taken.
    """

    def rows() -> Iterator[SourceRow]:
        for number, (file, name) in enumerate(places.files(path)):
            ending = file.suffix.lower()
            wrong = None if ending in ENDINGS else f"its name ends in none of {', '.join(ENDINGS)}"
            yield SourceRow(number, {"file": name}, name, wrong)

    total = sum(1 for _ in places.files(path))
    if not total:
        raise InvalidItem(f"{path} holds no image: {', '.join(ENDINGS)}")
    return Source(path.name or str(path), Format("jsonl"), ("file",), total, rows, text="file")
