"""Tickets for the benches: made here, the same ones each time."""

import csv
from pathlib import Path

LABELS = ["card", "transfer", "login", "fees", "refund", "top-up", "limits", "identity"]

_ASKED = (
    "my card was declined at the till although there is money on the account",
    "the transfer I made on Monday has still not arrived",
    "I cannot log in since I changed my phone number",
    "why was I charged a fee for taking out cash abroad",
    "the shop says it refunded me a week ago and I see nothing",
)


def ticket(number: int) -> str:
    """The text of one ticket, about as long as a customer's message."""
    return f"Ticket {number}: {_ASKED[number % len(_ASKED)]}."


def write(path: Path, count: int) -> None:
    """A CSV file of ``count`` tickets in the column ``text``."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text"])
        rows.writerows([ticket(number)] for number in range(count))
