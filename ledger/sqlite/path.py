"""The path of a SQLite ledger, and why it cannot be elsewhere: SQLite itself would say less."""

import os
from pathlib import Path

from tierqueue.router.errors import Misconfigured

_SQLITE = b"SQLite format 3\0"
"""How every SQLite file begins."""


def check_path(path: Path) -> None:
    """Raise ``Misconfigured`` where no process could keep a ledger at ``path``, and say why."""
    folder = path.parent
    why = None
    if path.is_dir():
        why = "it is a folder: name a file in it"
    elif not folder.is_dir():
        why = f"there is no folder {folder}: make it, or correct the path"
    elif path.exists() and not path.is_file():
        why = "it is no regular file"
    elif path.exists() and not os.access(path, os.R_OK | os.W_OK):
        why = "this user may not read and write it, or its file system is read-only"
    elif not os.access(folder, os.W_OK | os.X_OK):
        # SQLite keeps its write-ahead file beside the ledger.
        why = f"this user may not write in its folder {folder}"
    elif path.is_file() and _is_other(path):
        why = "it is a file of another kind and no SQLite database"
    if why is not None:
        raise Misconfigured(f"TIERQUEUE_LEDGER_URL: {path} cannot be the ledger: {why}")


def _is_other(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(len(_SQLITE))
    return head not in (b"", _SQLITE)
