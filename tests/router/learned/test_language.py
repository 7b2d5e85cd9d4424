"""Languages told apart by script and by common words."""

import pytest

from tierqueue.router.learned.language import CHARACTERS_READ, language


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("My card was declined and I do not know why it is so", "en"),
        ("Ich habe die Karte verloren und das Geld ist weg", "de"),
        ("Je ne sais pas où est la carte que vous avez", "fr"),
        ("No sé por qué mi tarjeta es rechazada en el banco", "es"),
        ("Non so perché la carta che ho non è con me", "it"),
        ("Não sei por que o meu cartão não é aceito", "pt"),
        ("Het is niet mijn kaart en ik weet niet hoe dat kan", "nl"),
        ("Моя карта не работает", "cyrillic"),
        ("我的卡丢了", "han"),
        ("カードをなくしました", "ja"),
        ("카드를 잃어버렸어요", "ko"),
        ("بطاقتي مفقودة", "arabic"),
        ("x = 1", None),
        ("", None),
    ],
)
def test_a_language_or_else_a_script_is_guessed(text: str, spoken: str | None) -> None:
    assert language(text) == spoken


def test_what_is_quoted_in_another_script_does_not_decide() -> None:
    assert language("What does the word карта mean in the language of my bank?") == "en"


def test_only_the_beginning_is_looked_at() -> None:
    assert language("7 " * CHARACTERS_READ + "the card is lost") is None
