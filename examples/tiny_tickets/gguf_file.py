"""The same weights as a GGUF file, for llama.cpp: a Qwen3-shaped Hugging Face folder goes in."""

import json
from pathlib import Path
from typing import Any

import numpy as np

_OF_A_LAYER = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    """Return what llama.cpp calls a tensor of a Qwen3-shaped model; KeyError for another's."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
    }
    if name in whole:
        return whole[name]
    layer, _, part = name.removeprefix("model.layers.").partition(".")
    return f"blk.{int(layer)}.{_OF_A_LAYER[part.removesuffix('.weight')]}.weight"


def read_safetensors(path: Path) -> dict[str, "np.ndarray[Any, np.dtype[np.float32]]"]:
    """The tensors of a file of bfloat16, widened to 32 bits; ValueError for other types.

    By hand, so that no torch is needed: numpy knows no bfloat16.
    """
    raw = path.read_bytes()
    begin = 8 + int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, stated in json.loads(raw[8:begin]).items():
        if name == "__metadata__":
            continue
        if stated["dtype"] != "BF16":
            raise ValueError(f"{name} is {stated['dtype']}, not BF16")
        low, high = (begin + offset for offset in stated["data_offsets"])
        halves = np.frombuffer(raw[low:high], dtype="<u2").astype(np.uint32)
        tensors[name] = (halves << 16).view(np.float32).reshape(stated["shape"])
    return tensors


def write_gguf(folder: Path, path: Path) -> None:
    """Write the weights of ``folder`` to ``path``: matrices as q8_0, norms as 32-bit floats."""
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
    from gguf.quants import quantize
    from tokenizers import Tokenizer

    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    layout = json.loads((folder / "tokenizer.json").read_text())
    writer = GGUFWriter(str(path), "qwen3")
    writer.add_name(folder.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_file_type(LlamaFileType.MOSTLY_Q8_0)

    added = {one["id"]: one["special"] for one in layout["added_tokens"]}
    words = [str(tokenizer.id_to_token(at)) for at in range(tokenizer.get_vocab_size())]
    kinds = [
        TokenType.NORMAL
        if at not in added
        else TokenType.CONTROL
        if added[at]
        else TokenType.USER_DEFINED
        for at in range(len(words))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in layout["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())

    for name, values in read_safetensors(folder / "model.safetensors").items():
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
            continue
        packed = quantize(values, GGMLQuantizationType.Q8_0)
        writer.add_tensor(gguf_name(name), packed, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
