"""Images by their bytes: what kind one is and how many pixels it has, read from its own headers."""

from collections.abc import Iterator
from typing import NamedTuple

from tierqueue.router.errors import InvalidItem

MOST_BYTES = 3_932_160
"""The largest image: in base64 it has the 5 MiB that Anthropic takes, the least of all."""

MOST_SIDE = 8_000
"""The longest side in pixels that Anthropic takes; an image that unpacks to more is refused."""

_PNG, _JPEG_END = b"\x89PNG\r\n\x1a\n", b"\xff\xd9"
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_NO_FRAME = frozenset({0xC4, 0xC8, 0xCC})


class Header(NamedTuple):
    """What an image is; ``width`` and ``height`` in pixels."""

    media_type: str
    width: int
    height: int


class _BadImage(Exception):
    """What is wrong with an image, in words."""


def header_of(body: bytes) -> Header:
    """What the bytes are, by their content alone; nothing is unpacked.

    Raises ``InvalidItem`` for what is no PNG, JPEG, WebP or GIF, moves, is cut off, or is larger
    than providers take, in bytes or in pixels.
    """
    if len(body) > MOST_BYTES:
        raise InvalidItem(
            f"the image has {len(body):,} bytes, and providers take {MOST_BYTES:,}: make it smaller"
        )
    try:
        found = _read(body)
    except _BadImage as wrong:
        raise InvalidItem(str(wrong)) from None
    except (IndexError, ValueError):
        raise InvalidItem("the image is cut off, or damaged") from None
    if not (found.width and found.height):
        raise InvalidItem("the image has no pixels")
    if max(found.width, found.height) > MOST_SIDE:
        raise InvalidItem(
            f"the image is {found.width:,} x {found.height:,} pixels, and providers take"
            f" {MOST_SIDE:,} a side: make it smaller"
        )
    return found


def _read(body: bytes) -> Header:
    if body.startswith(_PNG):
        return Header("image/png", *_png(body))
    if body.startswith(b"\xff\xd8\xff"):
        return Header("image/jpeg", *_jpeg(body))
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return Header("image/webp", *_webp(body))
    if body[:6] in (b"GIF87a", b"GIF89a"):
        return Header("image/gif", *_gif(body))
    raise _BadImage("it is no image that providers take: PNG, JPEG, WebP or GIF, by its content")


def _big(body: bytes, at: int, size: int) -> int:
    return _number(body, at, size, "big")


def _little(body: bytes, at: int, size: int) -> int:
    return _number(body, at, size, "little")


def _number(body: bytes, at: int, size: int, order: str) -> int:
    part = body[at : at + size]
    if len(part) < size:
        raise IndexError
    return int.from_bytes(part, "big" if order == "big" else "little")


def _png(body: bytes) -> tuple[int, int]:
    size, at = (0, 0), len(_PNG)
    while True:
        length, kind = _big(body, at, 4), body[at + 4 : at + 8]
        if kind == b"IHDR":
            size = (_big(body, at + 8, 4), _big(body, at + 12, 4))
        elif kind == b"acTL":
            raise _BadImage(_MOVES)
        elif kind == b"IEND":
            return size
        at += length + 12
        if at > len(body):
            raise IndexError


_MOVES = "the image moves, and providers take still ones: give one of its frames"


def _jpeg(body: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if body[at] != 0xFF:
            raise ValueError
        marker = body[at + 1]
        if marker == 0xFF:  # filled up
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME:
            if body.rfind(_JPEG_END) < at:
                raise IndexError
            return _big(body, at + 7, 2), _big(body, at + 5, 2)
        elif marker in (0xD9, 0xDA):
            raise ValueError
        else:
            at += 2 + _big(body, at + 2, 2)


def _webp(body: bytes) -> tuple[int, int]:
    if len(body) < _little(body, 4, 4) + 8:
        raise IndexError
    match body[12:16]:
        case b"VP8X":
            if body[20] & 0x02:
                raise _BadImage(_MOVES)
            return _little(body, 24, 3) + 1, _little(body, 27, 3) + 1
        case b"VP8L":
            bits = _little(body, 21, 4)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _little(body, 26, 2) & 0x3FFF, _little(body, 28, 2) & 0x3FFF
    raise ValueError


def _gif(body: bytes) -> tuple[int, int]:
    width, height = _little(body, 6, 2), _little(body, 8, 2)
    frames = list(_gif_frames(body))
    if len(frames) > 1:
        raise _BadImage(_MOVES)
    if not frames:
        raise ValueError
    (of_frame,) = frames
    return max(width, of_frame[0]), max(height, of_frame[1])


def _gif_frames(body: bytes) -> Iterator[tuple[int, int]]:
    at = 13 + _colours(body[10])
    while body[at] != 0x3B:
        if body[at] == 0x21:
            at += 2
        elif body[at] == 0x2C:
            yield _little(body, at + 5, 2), _little(body, at + 7, 2)
            at += 10 + _colours(body[at + 9]) + 1
        else:
            raise ValueError
        while body[at]:
            at += body[at] + 1
        at += 1


def _colours(flags: int) -> int:
    """Bytes of the table of colours that the flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
