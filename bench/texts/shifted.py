"""The tickets as they were never trained on: in other hands, with other words, and other matters.

Nothing of it stands in ``examples.tiny_tickets.noise``, which the model has seen.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random

OPENINGS = (
    "Hey folks, hope everyone is doing great today.", "To whom it may concern,",
    "Greetings from Wales!", "Hiya,", "Dear Sir or Madam,", "Good afternoon to you all.",
)  # fmt: skip
CLOSINGS = (
    "Much appreciated.", "Yours faithfully, Jo", "Ta very much!", "Let me know asap, please.",
    "All the best from Leeds.", "Thanks a million for your time.",
)  # fmt: skip
ASIDES = (
    "My neighbour keeps bees and the honey is lovely.", "We got a new puppy on Sunday.",
    "The train was late again this morning.", "My kids are back at school since Monday.",
    "I have just come home from the gym.", "We are redecorating the hall at the moment.",
)  # fmt: skip


def _capitals(text: str, random: Random) -> str:
    del random
    return text.upper()


def _typos(text: str, random: Random) -> str:
    """One letter in twenty is left out or changes places with the next one, or is another."""
    letters = list(text)
    for at in range(len(letters) - 1):
        if not letters[at].isalpha() or random.random() >= 0.05:
            continue
        match random.randrange(3):
            case 0:
                letters[at] = ""
            case 1:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            case _:
                letters[at] = random.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)


def _greeted(text: str, random: Random) -> str:
    return f"{random.choice(OPENINGS)} {text} {random.choice(CLOSINGS)}"


def _aside(text: str, random: Random) -> str:
    one, other = random.sample(ASIDES, 2)
    return f"{one} {text} {other}"


SHIFTS: Mapping[str, Callable[[str, Random], str]] = {
    "capitals": _capitals,
    "typos": _typos,
    "greeted": _greeted,
    "unrelated_sentences": _aside,
}
"""What other people make of the same ticket; its label stays."""

_OTHER_MATTERS = (
    "What is the tallest mountain in Africa?", "Can I bring my dog on the ferry?",
    "How long do I boil an egg?", "My laptop does not wake up from sleep.",
    "The parcel with my shoes never came.", "Where is the nearest pharmacy?",
    "Please cancel my gym membership.", "Who won the match last night?",
    "Does this jacket come in blue?", "I would like a refund for the concert.",
    "The washing machine leaks.", "How do I reset the router?", "Is the museum open on Mondays?",
    "Translate good night into Finnish.", "My seat on the plane was broken.",
    "What time does the library close?", "Recommend a film for tonight.",
    "How do I prune roses?", "The app of the bus company shows no times.",
    "When is my dentist appointment?", "Turn off the lights in the living room.",
    "I lost my umbrella on the tram.", "Can you book a taxi for seven?",
    "How many grams are in an ounce?", "The heating in my flat does not work.",
    "Do you deliver groceries on Sundays?", "What is the meaning of serendipity?",
    "Set a timer for ten minutes.", "Which vaccine do I need for Brazil?",
    "My new phone has a scratch on its screen.",
)  # fmt: skip
_OTHER_BANKING = (
    "What does a mortgage on a small flat cost?", "Do you sell travel insurance?",
    "How do I invest in a pension?", "Can my company open an account?",
    "What was your profit last year?", "Do you finance cars?", "Are you hiring engineers?",
    "How do I report income from shares?", "Who chairs your board?",
    "Can I get a loan for a boat?", "What do your own shares cost?",
    "What is the interest on savings?", "How safe is my money if you go bankrupt?",
    "Do you offer a credit card with air miles?", "Please send me the annual statement for tax.",
    "How do I buy government bonds?", "Is there a joint account?",
    "How do I set up a standing order?", "Can I talk to the press office?",
    "Do you have a student discount?",
)  # fmt: skip
OUTSIDE: Mapping[str, Sequence[str]] = {
    "other_matters": _OTHER_MATTERS,
    "other_banking": _OTHER_BANKING,
}
"""Texts that none of the 77 labels fits: each one that is answered all the same is wrong."""
