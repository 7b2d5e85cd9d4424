"""The README on a package page, without links into the checkout; all else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")

setup(
    # A link into the checkout becomes its own text, which names the file.
    long_description=re.sub(r"\[([^\]]+)\]\((?!https?:|#)[^)]+\)", r"\1", readme),
    long_description_content_type="text/markdown",
)
