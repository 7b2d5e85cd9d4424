"""The model's tokenizer and chat template: the ticket goes in, the opened answer comes out."""

from collections.abc import Iterable, Sequence
from typing import Any

PAD, TICKET, ANSWER, END = "<|pad|>", "<|ticket|>", "<|answer|>", "<|end|>"
OPENED, CLOSED = '{"label":"', '"}'
PIECES = 3_000
"""Entries of the byte-level BPE, the marks and labels not counted."""

LONGEST = 96
"""Tokens of a ticket that are read in training."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}{%- if message['role'] == 'user' -%}"
    f"{TICKET}{{{{ message['content'].split('Text:\\n')[-1] | lower | trim }}}}"
    "{%- endif -%}{%- endfor -%}"
    f"{{%- if add_generation_prompt -%}}{ANSWER}{{%- endif -%}}"
)
"""The ticket alone, in small letters: which labels there are is in the weights, and which are
asked for is the grammar's affair."""


def make_tokenizer(
    texts: Iterable[str], labels: Sequence[str], dropout: float | None = None
) -> Any:
    """Train the tokenizer on tickets; each label is one token of its own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        special_tokens=[PAD, TICKET, ANSWER, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator((text.lower() for text in texts), trainer)
    words = [OPENED, CLOSED, *labels]
    bpe.add_tokens([AddedToken(word, normalized=False) for word in words])
    bpe.model.dropout = dropout
    return bpe


def rendered(text: str) -> str:
    """The prompt that the chat template makes of a ticket."""
    return f"{TICKET}{text.lower().strip()}{ANSWER}"
