"""A model small enough to be made for a test run: random weights, real shapes, 140,000 parameters.

What it says means nothing: assert shapes, counts, finish reasons and validity, never the text.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

MARKS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
"""The tokens that stand for no text."""

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SEEING_TEMPLATE = CHAT_TEMPLATE.replace(
    "{{ message['content'] }}",
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}",
)
"""The same for a model whose messages have images."""


def make_tiny_model(folder: Path, *, chat: bool = True) -> Path:
    """Write a Qwen3-shaped model with a byte-level BPE to ``folder``; ``chat`` adds a template.

    Without torch and transformers: importing both takes longer than all else that is done here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, vocabulary = _byte_tokens(MARKS)
    tokenizer.add_special_tokens(list(MARKS))
    tokenizer.save(str(folder / "tokenizer.json"))
    if chat:
        (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    ends = {"eos_token_id": vocabulary["<|im_end|>"], "pad_token_id": vocabulary["<|endoftext|>"]}
    written = {
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "additional_special_tokens": ["<|im_start|>"],
        },
        "generation_config.json": ends,
        "config.json": {
            **ends,
            "architectures": ["Qwen3ForCausalLM"],
            "model_type": "qwen3",
            "dtype": "bfloat16",
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 2048,
            "tie_word_embeddings": True,
            "bos_token_id": None,
        },
    }
    for name, stated in written.items():
        (folder / name).write_text(json.dumps(stated), encoding="utf-8")
    layer = {
        **{f"{name}_layernorm": (64,) for name in ("input", "post_attention")},
        **{f"self_attn.{name}_norm": (32,) for name in "qk"},
        **{f"self_attn.{name}_proj": (64, 64) for name in "kv"},
        "self_attn.q_proj": (128, 64),
        "self_attn.o_proj": (64, 128),
        **{f"mlp.{name}_proj": (128, 64) for name in ("gate", "up")},
        "mlp.down_proj": (64, 128),
    }
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens": (len(vocabulary), 64), "norm": (64,)}
    shapes |= {f"layers.{at}.{name}": shape for at in range(2) for name, shape in layer.items()}
    draw = np.random.default_rng(0)
    weights = {
        f"model.{name}.weight": np.ones(shape) if len(shape) == 1 else draw.normal(0, 0.02, shape)
        for name, shape in shapes.items()
    }
    _save(weights, folder / "model.safetensors")
    return folder


def make_tiny_eyes(folder: Path) -> Path:
    """Write an Idefics3-shaped model that takes images to ``folder``; each counts as 4 tokens."""
    import torch
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3Processor,
        LlamaConfig,
    )
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
    )

    tokenizer, vocabulary = _tokenizer("<image>", "<fake_token_around_image>", "<global-img>")
    side = {"longest_edge": 28}
    Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(
            size=side, max_image_size=side, do_image_splitting=False
        ),
        tokenizer=tokenizer,
        image_seq_len=1,
        chat_template=SEEING_TEMPLATE,
    ).save_pretrained(folder)
    torch.manual_seed(0)
    text = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=2048,
        eos_token_id=vocabulary["<|im_end|>"],
        bos_token_id=None,
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    config = Idefics3Config(
        text_config=text,
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        image_token_id=vocabulary["<image>"],
        scale_factor=2,
        pad_token_id=vocabulary["<|endoftext|>"],
    )
    Idefics3ForConditionalGeneration(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def _tokenizer(*more: str) -> tuple[Any, dict[str, int]]:
    """A byte-level BPE of transformers' with its special tokens and these, and the vocabulary."""
    from transformers import PreTrainedTokenizerFast

    bpe, vocabulary = _byte_tokens([*MARKS, *more])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", *more],
    )
    return tokenizer, vocabulary


def _byte_tokens(special: Sequence[str]) -> tuple[Any, dict[str, int]]:
    """A BPE of single bytes and these tokens, and the vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*alphabet, *special])}
    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return bpe, vocabulary


def _save(weights: Mapping[str, Any], file: Path) -> None:
    """Write weights as bfloat16, which is the upper half of a float's four bytes."""
    halves = {
        name: (np.ascontiguousarray(drawn, np.float32).view(np.uint32) >> 16).astype("<u2")
        for name, drawn in weights.items()
    }
    safetensors.serialize_file(
        {
            name: safetensors.TensorSpec(
                dtype="bfloat16",
                shape=half.shape,
                data_ptr=half.ctypes.data,
                data_len=half.nbytes,
            )
            for name, half in halves.items()
        },
        str(file),
        {"format": "pt"},
    )


def make_adapter(folder: Path, *, seed: int, rank: int = 8) -> Path:
    """Write a LoRA adapter for the tiny model to ``folder``, that changes what it says."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    shapes = {"q_proj": (64, 128), "o_proj": (128, 64)}
    weights = {
        f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{half}.weight": draw.normal(
            size=(rank, inside) if half == "A" else (outside, rank)
        )
        for layer in range(2)
        for name, (inside, outside) in shapes.items()
        for half in "AB"
    }
    _save(weights, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 4 * rank,
        "target_modules": list(shapes),
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
