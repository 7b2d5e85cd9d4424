"""The token vectors of the tiny ticket model: 3,079 of them, with 256 numbers each."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "examples/tiny_tickets/weights/tiny-tickets"
TOKENIZER = (FOLDER / "tokenizer.json").read_bytes()
NUMBERS = (FOLDER / "model.safetensors").read_bytes()
