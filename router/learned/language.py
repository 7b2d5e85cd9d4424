"""The language of a text, as far as its script and its commonest words tell."""

CHARACTERS_READ = 400
"""Characters a language is told by."""

_LATIN_ENDS = 0x24F
_SCRIPTS = (
    (0x370, 0x3FF, "greek"),
    (0x400, 0x52F, "cyrillic"),
    (0x590, 0x5FF, "hebrew"),
    (0x600, 0x6FF, "arabic"),
    (0x900, 0x97F, "devanagari"),
    (0xE00, 0xE7F, "thai"),
    (0x3040, 0x30FF, "ja"),
    (0x4E00, 0x9FFF, "han"),
    (0xAC00, 0xD7AF, "ko"),
)
_COMMON = {
    "en": "the of and to is that for it with are my you this what was have how which be on",
    "de": "der die das und ist nicht ich ein eine zu mit auf wie den von wird sie es im",
    "fr": "le la les des est une que pas dans pour je et du mon avec sur ce qui vous au",
    "es": "el los las una que por con no para es mi y en del se lo como qué está un",
    "it": "il lo gli una che di per non sono con la mio è del un si come della le ho",
    "pt": "o os uma que não para com do da em um meu é no na se por como mais está",
    "nl": "het een van niet dat ik en op zijn met de is mijn voor te hoe wordt aan er",
}
_OF_WORD: dict[str, tuple[str, ...]] = {}
for _name, _words in _COMMON.items():
    for _word in _words.split():
        _OF_WORD[_word] = (*_OF_WORD.get(_word, ()), _name)


def language(text: str) -> str | None:
    """A language (``en``, ``de``, …), else a script that several are written in (``cyrillic``);
    ``None`` where neither can be told. It is a guess, made in microseconds.
    """
    begin = text[:CHARACTERS_READ]
    if not begin.isascii():
        found: dict[str, int] = {}
        for letter in begin:
            if ord(letter) > _LATIN_ENDS and (script := _script(ord(letter))) is not None:
                found[script] = found.get(script, 0) + 1
        if 3 * sum(found.values()) > sum(map(str.isalpha, begin)):
            # Japanese is written in both.
            return "ja" if "ja" in found else max(found, key=lambda name: (found[name], name))
    counted: dict[str, int] = {}
    for word in begin.lower().split():
        for name in _OF_WORD.get(word.strip(".,;:!?\"'()"), ()):
            counted[name] = counted.get(name, 0) + 1
    return max(counted, key=lambda name: (counted[name], name)) if counted else None


def _script(code: int) -> str | None:
    return next((name for first, last, name in _SCRIPTS if first <= code <= last), None)
