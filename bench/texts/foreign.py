"""Texts that have nothing to do with a bank's tickets: what a surrogate for them must leave alone.

Made from sentences and things, of the length and manner of people who write to an assistant;
``bench.shifted`` has some that were written one by one.
"""

from itertools import product

from bench.texts.shifted import OUTSIDE

_SAID = {
    "kitchen": (
        ("How long do I bake {}?", "Give me a recipe for {}.", "Can I freeze {}?",
         "What goes well with {}?", "My {} came out burnt, what did I do wrong?"),
        ("sourdough bread", "a lasagna", "banana muffins", "roast chicken", "a plum cake"),
    ),
    "travel": (
        ("What is the weather like in {}?", "Book me a flight to {} for Friday.",
         "Do I need a visa for {}?", "What is worth seeing in {}?",
         "How long does the train to {} take?"),
        ("Lisbon", "Nairobi", "Kyoto", "Reykjavik", "Lima"),
    ),
    "home": (
        ("Turn {} on.", "Why does {} make that noise?", "Remind me to clean {} tomorrow.",
         "How do I reset {}?", "I want to return {}, it arrived broken."),
        ("the heating", "the vacuum cleaner", "my router", "the dishwasher", "the doorbell"),
    ),
    "body": (
        ("I have had {} for a week, should I see a doctor?", "What helps against {}?",
         "Is {} contagious?", "Which medicine do I take for {}?",
         "Cancel my appointment about {}."),
        ("a sore throat", "back pain", "a rash", "hay fever", "a migraine"),
    ),
    "leisure": (
        ("Play something by {}.", "When was {} born?", "Is {} on tour this year?",
         "How many records has {} sold?", "Tell me a joke about {}."),
        ("Miles Davis", "Nina Simone", "the Beatles", "Mozart", "Edith Piaf"),
    ),
    "office": (
        ("Summarise {} for me.", "Translate {} into Spanish.", "Who wrote {}?",
         "Schedule a meeting about {} on Monday.", "Where did I save {}?"),
        ("the annual report", "my last e-mail", "the minutes of Tuesday", "this contract",
         "the slides for the workshop"),
    ),
    "cars": (
        ("My {} does not start.", "How often do I change the oil of {}?",
         "What tyre pressure does {} need?", "Rent me {} for the weekend.",
         "Why is the warning light of {} on?"),
        ("a small van", "an old diesel", "the family car", "a motorbike", "a camper"),
    ),
}  # fmt: skip


def foreign() -> dict[str, list[str]]:
    """Texts by what they are about; the last two are those of ``bench.shifted``."""
    made = {
        about: [sentence.format(thing) for sentence, thing in product(*said)]
        for about, said in _SAID.items()
    }
    return made | {about: list(texts) for about, texts in OUTSIDE.items()}
