"""What is done to tickets in training: the same for one seed, and nothing the bench measures."""

from random import Random

from bench.texts import shifted
from examples.tiny_tickets import noise

TICKET = "Where is the card that I ordered last week?"


def test_one_seed_makes_the_same_noise_again() -> None:
    again = [[noise.noisy(TICKET, random) for _ in range(50)] for random in (Random(7), Random(7))]
    assert again[0] == again[1]
    assert [noise.foreign(Random(7)) for _ in range(3)] == [noise.foreign(Random(7))] * 3


def test_about_half_of_the_tickets_stay_as_they_are() -> None:
    random = Random(1)
    same = sum(noise.noisy(TICKET, random) == TICKET for _ in range(1_000))
    assert 450 < same < 650


def test_slips_leave_the_rest_of_a_text_alone() -> None:
    assert noise.slips(TICKET, Random(1), rate=0.0) == TICKET
    slipped = noise.slips(TICKET, Random(1), rate=1.0)
    assert slipped != TICKET
    assert slipped.count(" ") == TICKET.count(" ")


def test_what_the_bench_measures_was_never_shown_in_training() -> None:
    shown = {phrase.lower() for phrase in (*noise.BEFORE, *noise.AFTER)}
    random = Random(1)
    shown |= {noise.foreign(random) for _ in range(20_000)}
    measured = [*shifted.OPENINGS, *shifted.CLOSINGS, *shifted.ASIDES]
    measured += [text for texts in shifted.OUTSIDE.values() for text in texts]
    assert not shown & {text.lower().rstrip("?.!,") for text in measured}
