"""A folder for what is read but once, which goes when nobody reads it any more."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tierqueue.tasks.files.source import Source, SourceRow


class TemporaryFolder:
    """A folder of this process alone: it is removed with this object, or at the process's end."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tierqueue."))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def source(self, found: Source, name: str, *notes: str) -> Source:
        """A source of a file in this folder, under the name of where it came from."""

        def rows(_held: "TemporaryFolder" = self) -> Iterator[SourceRow]:
            return found.rows()

        return replace(found, name=name, rows=rows, notes=(*notes, *found.notes))
