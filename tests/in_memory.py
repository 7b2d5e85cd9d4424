"""Where tests keep their ledgers and servers: in memory, where there is enough of it."""

import os
import shutil
import tempfile
from pathlib import Path

import psutil

_FOLDER = Path("/dev/shm")
_ENOUGH = 8 * 2**30
"""Bytes that are free in the folder and in the machine: several times what a run takes."""


def keep() -> None:
    """Let this process and those it starts make their temporary files in memory, if it may.

    A killed process loses nothing there either, and no commit waits for a disk. Whoever states
    ``TMPDIR`` is believed.
    """
    if "TMPDIR" not in os.environ and _FOLDER.is_dir() and _fits():
        os.environ["TMPDIR"] = tempfile.tempdir = str(_FOLDER)


def _fits() -> bool:
    # Containers forbid programs there, and give it 64 MB.
    runs_programs = not os.statvfs(_FOLDER).f_flag & os.ST_NOEXEC
    free = min(shutil.disk_usage(_FOLDER).free, psutil.virtual_memory().available)
    return os.access(_FOLDER, os.W_OK) and runs_programs and free >= _ENOUGH
