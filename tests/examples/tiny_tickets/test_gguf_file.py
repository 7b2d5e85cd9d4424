"""The two forms of the weights: one set of numbers, one tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest

from examples.tiny_tickets import GGUF, HUGGING_FACE
from examples.tiny_tickets.gguf_file import gguf_name, read_safetensors, write_gguf

pytestmark = pytest.mark.filterwarnings("ignore")  # gguf warns of numpy's future


def test_the_gguf_that_is_shipped_is_made_of_the_folder_that_is_shipped(tmp_path: Path) -> None:
    write_gguf(HUGGING_FACE, tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == GGUF.read_bytes()


def test_the_two_forms_hold_the_same_numbers_within_quantisation() -> None:
    from gguf import GGUFReader
    from gguf.quants import dequantize

    packed = {tensor.name: tensor for tensor in GGUFReader(str(GGUF)).tensors}
    folder = read_safetensors(HUGGING_FACE / "model.safetensors")
    assert {gguf_name(name) for name in folder} == set(packed)
    for name, values in folder.items():
        tensor = packed[gguf_name(name)]
        got = dequantize(tensor.data, tensor.tensor_type).reshape(values.shape)
        if values.ndim == 1:
            assert np.array_equal(got, values)
            continue
        # q8_0: 32 numbers share a step, of which the largest has 127. The error is half a step, and
        # 127 times that of the step itself, a number of 16 bits.
        blocks = values.reshape(-1, 32)
        step = np.abs(blocks).max(axis=1, keepdims=True) / 127
        most = step / 2 + 127 * np.maximum(step * 2**-11, 2**-25)
        assert (np.abs(got.reshape(-1, 32) - blocks) <= most * 1.001).all(), name


def test_the_two_forms_have_one_vocabulary() -> None:
    from gguf import GGUFReader

    fields = GGUFReader(str(GGUF)).fields
    words = fields["tokenizer.ggml.tokens"].contents()
    layout = json.loads((HUGGING_FACE / "tokenizer.json").read_text(encoding="utf-8"))
    known = {
        **layout["model"]["vocab"],
        **{at["content"]: at["id"] for at in layout["added_tokens"]},
    }
    assert {word: at for at, word in enumerate(words)} == known
    template = (HUGGING_FACE / "chat_template.jinja").read_text(encoding="utf-8")
    assert fields["tokenizer.chat_template"].contents() == template


def test_a_tensor_of_another_shape_of_model_is_refused() -> None:
    with pytest.raises(KeyError):
        gguf_name("model.layers.0.mlp.experts.weight")
