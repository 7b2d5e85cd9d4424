"""Noise in tickets, as people make it: slips of the keyboard, greetings, other matters."""

from random import Random

BEFORE = (
    "hi", "hello", "hi there", "hello team", "good morning", "good evening", "dear support",
    "hey", "hi all", "quick question:", "sorry to bother you.", "i hope you are well.",
    "i wrote to you last week and heard nothing.", "this is my second message.",
    "i have been a customer for years.", "not sure if this is the right place.",
    "i am writing from my phone.", "my colleague told me to ask here.",
)  # fmt: skip
"""What stands before a question and says nothing of it."""

AFTER = (
    "thanks", "thank you", "many thanks", "cheers", "please help", "please advise.",
    "thanks in advance!", "best regards", "kind regards", "looking forward to your answer.",
    "this is urgent.", "i am travelling tomorrow.", "please answer by email.",
    "sent from my phone", "i like the new look of the app, by the way.",
    "the weather has been awful here.", "have a nice weekend.", "it is for my daughter.",
)  # fmt: skip
"""What stands behind it."""

_DOING = (
    "what is the best way to", "how do i", "can you help me", "remind me to", "is it hard to",
    "tell me how to", "should i", "when is a good time to", "who can", "i want to",
)  # fmt: skip
_MATTERS = (
    "bake a sourdough bread", "repair a bicycle", "learn to play the piano",
    "plan a trip to norway",
    "water the tomatoes", "train a puppy", "read this novel", "paint the kitchen", "knit a scarf",
    "write a poem", "fix the printer", "find a dentist", "book a table for four",
    "watch the eclipse", "install the update", "study for the biology exam", "run a marathon",
    "cook rice without a pot", "set an alarm for six", "translate a letter into spanish",
    "choose a winter coat", "remove coffee stains", "get rid of moths", "grow mushrooms",
    "solve this equation", "sharpen a knife", "rent a boat", "move to another town",
    "vote in the election", "mend the roof", "call my brother", "tune a guitar",
)  # fmt: skip
_SAYINGS = (
    "what is the capital of {place}", "how far is it to {place}", "will it rain in {place}",
    "tell me a joke about {thing}", "how many calories are in {thing}", "who invented {thing}",
    "play some music with {thing}", "why is {thing} so popular", "i saw {thing} in {place}",
    "the meeting about {thing} is moved to {place}", "is {thing} made in {place}",
    "my flight to {place} leaves at noon", "spell {thing}", "what does {thing} mean",
)  # fmt: skip
_PLACES = (
    "peru", "lisbon", "the mountains", "tokyo", "the office", "iceland", "berlin", "the museum",
    "kenya", "the village", "montreal", "the airport",
)  # fmt: skip
_THINGS = (
    "chocolate", "the telescope", "a violin", "cats", "the bicycle", "pineapple", "chess",
    "this movie", "the battery", "football", "a raincoat", "gravity", "the vacuum cleaner",
    "tea", "dinosaurs", "the printer",
)  # fmt: skip
_NEIGHBOURS = {
    letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for at, letter in enumerate(row)
}


def foreign(random: Random) -> str:
    """Return an utterance that has nothing to do with a bank."""
    if random.random() < 0.5:
        return f"{random.choice(_DOING)} {random.choice(_MATTERS)}"
    saying = random.choice(_SAYINGS)
    return saying.format(place=random.choice(_PLACES), thing=random.choice(_THINGS))


def slips(text: str, random: Random, rate: float) -> str:
    """Return the text with letters left out, doubled, swapped or hit beside, ``rate`` of them."""
    letters = list(text)
    for at, letter in enumerate(letters):
        if not letter.isalpha() or random.random() >= rate:
            continue
        match random.randrange(4):
            case 0:
                letters[at] = ""
            case 1:
                letters[at] = letter * 2
            case 2 if at + 1 < len(letters):
                letters[at], letters[at + 1] = letters[at + 1], letter
            case _:
                letters[at] = random.choice(_NEIGHBOURS.get(letter.lower(), letter))
    return "".join(letters)


def noisy(text: str, random: Random) -> str:
    """Return the ticket as another person might have sent it; half of the time as it is."""
    if random.random() < 0.5:
        return text
    if random.random() < 0.5:
        text = slips(text, random, rate=random.choice((0.02, 0.05, 0.1)))
    if random.random() < 0.4:
        text = f"{random.choice(BEFORE)} {text}"
    if random.random() < 0.4:
        text = f"{text} {random.choice(AFTER)}"
    if random.random() < 0.15:
        other = foreign(random) + random.choice((".", "?", "!"))
        text = f"{other} {text}" if random.random() < 0.5 else f"{text} {other}"
    return text
