"""A chat model of three million parameters that sorts bank tickets, and how it is trained."""

from pathlib import Path

NAME = "tiny-tickets"
CONTEXT = 8_192
"""Tokens of a prompt and its answer. The labels and the schema that ``classify`` sends count too
where a request is sized before it is sent; the model itself reads the ticket alone."""

WEIGHTS = Path(__file__).parent / "weights"
HUGGING_FACE = WEIGHTS / NAME
"""The weights for vLLM."""

LABELS = WEIGHTS / "labels.txt"
"""The labels that it knows, one a line."""

GGUF = WEIGHTS / f"{NAME}-q8_0.gguf"
"""The same weights for llama.cpp."""
