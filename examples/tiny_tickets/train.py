"""Train the model, in minutes on two cores: ``python -m examples.tiny_tickets.train --train CSV``.

Reads a CSV with the columns ``text`` and ``category``. The test split is never read here; a part
of the training tickets is held out to see how it goes.
"""

import argparse
import csv
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from examples.tiny_tickets import CONTEXT, GGUF, HUGGING_FACE, LABELS, WEIGHTS, noise, tokens
from examples.tiny_tickets.gguf_file import write_gguf

HELD_OUT = 500
FOREIGN = 0.12
"""Foreign utterances for each ticket; the model learns to prefer no label for them."""

SAMPLED = 256
"""Tokens of a batch's tickets that it learns to foretell."""

TEXT_WEIGHT = 0.1
"""Of the loss on the tickets' own tokens beside that on the answer: it holds the model back from
learning the tickets by heart."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A text and the number of its label; a foreign one has none."""

    text: str
    label: int | None


def read(path: Path) -> tuple[list[Ticket], list[str]]:
    """Return the tickets of a CSV and their labels, sorted."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = sorted({row["category"] for row in rows})
    number = {label: at for at, label in enumerate(labels)}
    return [Ticket(row["text"], number[row["category"]]) for row in rows], labels


def model_of(vocabulary: int, end: int, pad: int) -> Any:
    """Return a Qwen3-shaped model with random weights, three million parameters."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary,
            hidden_size=256,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=64,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            eos_token_id=end,
            bos_token_id=None,
            pad_token_id=pad,
        )
    )


class Training:
    """One run over tickets, its seed and its model."""

    def __init__(self, tickets: Sequence[Ticket], labels: Sequence[str], seed: int) -> None:
        import torch

        self._random = Random(seed)
        torch.manual_seed(seed)
        texts = [ticket.text for ticket in tickets]
        self.tokenizer = tokens.make_tokenizer(texts, labels)
        # Merges left out at random: the model meets a word in many pieces, as slips make them.
        self._loose = tokens.make_tokenizer(texts, labels, dropout=0.1)
        self._tickets = list(tickets)
        one = self.tokenizer.token_to_id
        self._labels = [one(label) for label in labels]
        self._pad = one(tokens.PAD)
        self._opened = [one(tokens.ANSWER), one(tokens.OPENED)]
        self._closed = [one(tokens.CLOSED), one(tokens.END)]
        self.model = model_of(self.tokenizer.get_vocab_size(), one(tokens.END), self._pad)

    def _batches(self, size: int) -> Iterator[list[tuple[list[int], Ticket]]]:
        """One epoch, noisy, batches of tickets of about one length."""
        others = int(len(self._tickets) * FOREIGN)
        shown = [
            *(Ticket(noise.noisy(one.text, self._random), one.label) for one in self._tickets),
            *(
                Ticket(noise.noisy(noise.foreign(self._random), self._random), None)
                for _ in range(others)
            ),
        ]
        self._random.shuffle(shown)
        prompts = self._loose.encode_batch([tokens.rendered(one.text) for one in shown])
        rows = [
            (prompt.ids[:-1][: tokens.LONGEST], one)
            for prompt, one in zip(prompts, shown, strict=True)
        ]
        rows.sort(key=lambda row: len(row[0]) + self._random.random() * 4)
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        self._random.shuffle(batches)
        yield from batches

    def _loss(self, batch: Sequence[tuple[list[int], Ticket]]) -> Any:
        import torch
        from torch.nn import functional

        rows, ends = [], []
        for prompt, ticket in batch:
            rows.append([*prompt, *self._opened, self._labels[ticket.label or 0], *self._closed])
            ends.append(len(prompt))
        longest = max(map(len, rows))
        ids = torch.tensor([row + [self._pad] * (longest - len(row)) for row in rows])
        # The answer begins behind the ticket; a sample of the tickets' own tokens beside it.
        answer = torch.tensor(ends)[:, None] + torch.arange(len(self._opened + self._closed))
        row, column = torch.nonzero(torch.arange(longest) < torch.tensor(ends)[:, None] - 1).T
        some = torch.randperm(len(row))[:SAMPLED]
        row, column = row[some], column[some]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = self.model.model(input_ids=ids).last_hidden_state
            answered = self.model.lm_head(hidden[torch.arange(len(rows))[:, None], answer])
            read = self.model.lm_head(hidden[row, column])
        likely = functional.log_softmax(answered.float(), dim=-1)
        losses = -likely.gather(2, ids.gather(1, answer + 1)[:, :, None]).squeeze(2)
        # A foreign utterance has no label: every one is to be as likely as the others.
        foreign = torch.tensor([ticket.label is None for _, ticket in batch])
        flat = -likely[:, 1][:, self._labels].mean(dim=1)
        choice = torch.where(foreign, flat, losses[:, 1])
        form = losses[:, [0, 2, 3]].mean(dim=1)
        text = functional.cross_entropy(read.float(), ids[row, column + 1])
        return (choice + form).mean() + TEXT_WEIGHT * text

    def run(self, epochs: int, size: int, rate: float) -> Iterator[tuple[int, float]]:
        """Train; after each epoch its number and the mean loss. What stays is the average."""
        import torch
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

        steps = epochs * -(-int(len(self._tickets) * (1 + FOREIGN)) // size)
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.1, fused=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps + 1, pct_start=0.08
        )
        averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.997))
        for epoch in range(1, epochs + 1):
            losses = []
            for batch in self._batches(size):
                loss = self._loss(batch)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                averaged.update_parameters(self.model)
                losses.append(loss.item())
            yield epoch, sum(losses) / len(losses)
        self.model = averaged.module

    def margins(self, texts: Sequence[str]) -> list[tuple[int, float]]:
        """The label chosen for each text, and how far it stands before the second."""
        import torch

        found = []
        self.model.eval()
        for at in range(0, len(texts), 64):
            some = self.tokenizer.encode_batch(
                [tokens.rendered(text) for text in texts[at : at + 64]]
            )
            rows = [[*one.ids, self._opened[1]] for one in some]
            longest = max(map(len, rows))
            ids = torch.tensor([row + [self._pad] * (longest - len(row)) for row in rows])
            with torch.no_grad():
                hidden = self.model.model(input_ids=ids).last_hidden_state
                last = hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
                shares = self.model.lm_head(last)[:, self._labels].softmax(dim=1)
            best = shares.topk(2, dim=1)
            found += [
                (int(labels[0]), float(values[0] - values[1]))
                for labels, values in zip(best.indices, best.values, strict=True)
            ]
        self.model.train()
        return found


def save(training: Training, folder: Path) -> None:
    """Write the weights as a Hugging Face folder, in bfloat16."""
    import torch
    from transformers import PreTrainedTokenizerFast

    training.model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=training.tokenizer, eos_token=tokens.END, pad_token=tokens.PAD
    )
    tokenizer.chat_template = tokens.CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Train, say how it goes, and write both forms of the weights."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", type=Path, required=True, help="CSV with text and category")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tickets", type=int, help="train on the first so many only, for a trial")
    arguments = parser.parse_args()
    tickets, labels = read(arguments.train)
    Random(arguments.seed).shuffle(tickets)
    held, learned = tickets[:HELD_OUT], tickets[HELD_OUT:][: arguments.tickets]
    began = time.monotonic()
    training = Training(learned, labels, arguments.seed)
    size = sum(one.numel() for one in training.model.parameters())
    print(f"{len(learned)} tickets, {len(labels)} labels, {size} parameters", flush=True)
    for epoch, loss in training.run(arguments.epochs, arguments.batch, arguments.rate):
        spent = time.monotonic() - began
        print(f"epoch {epoch} of {arguments.epochs}: loss {loss:.3f}, {spent:.0f} s", flush=True)
    chosen = training.margins([ticket.text for ticket in held])
    right = sum(one.label == label for one, (label, _) in zip(held, chosen, strict=True))
    print(f"accuracy on {len(held)} tickets held out: {right / len(held):.3f}")
    save(training, arguments.out / HUGGING_FACE.name)
    write_gguf(arguments.out / HUGGING_FACE.name, arguments.out / GGUF.name)
    (arguments.out / LABELS.name).write_text("".join(f"{label}\n" for label in labels))
    print(json.dumps({
        "train_sha256": hashlib.sha256(arguments.train.read_bytes()).hexdigest(),
        "seed": arguments.seed,
        "epochs": arguments.epochs,
        "parameters": size,
        "held_out": len(held),
        "held_out_accuracy": round(right / len(held), 4),
        "seconds": round(time.monotonic() - began),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
