"""What an image is, by its bytes alone."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.images import FORMATS, a_moving_image, an_image
from tierqueue.router.errors import InvalidItem
from tierqueue.router.images.headers import MOST_BYTES, MOST_SIDE, Header, header_of

HOW = [
    ("PNG", {}),
    ("PNG", {"mode": "L"}),
    ("PNG", {"mode": "RGBA"}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"mode": "L"}),
    ("JPEG", {"exif": b"Exif\x00\x00" + b"\xff\xd9\xff\xc0" * 20}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"mode": "RGBA", "exif": b"Exif\x00\x00II*\x00"}),
    ("GIF", {"mode": "L"}),
    ("GIF", {}),
]


@pytest.mark.parametrize(("kind", "how"), HOW)
@pytest.mark.parametrize("size", [(1, 1), (640, 481), (3, 1_999)])
def test_an_image_of_every_kind_says_what_it_is_and_how_large(
    kind: str, how: dict[str, object], size: tuple[int, int]
) -> None:
    mode = str(how.get("mode", "RGB"))
    stated = {name: value for name, value in how.items() if name != "mode"}
    colour = {"L": "gray"}.get(mode, "red")
    assert header_of(an_image(kind, size, mode=mode, colour=colour, **stated)) == Header(
        FORMATS[kind], *size
    )


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_one_that_moves_is_refused(kind: str) -> None:
    with pytest.raises(InvalidItem, match="moves"):
        header_of(a_moving_image(kind))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("part", [0.02, 0.4, 0.9])
def test_one_that_is_cut_off_is_refused(kind: str, part: float) -> None:
    body = an_image(kind, (400, 300))
    with pytest.raises(InvalidItem, match=r"cut off|no image"):
        header_of(body[: max(12, int(len(body) * part))])


def test_a_few_bytes_that_unpack_to_gigapixels_are_refused() -> None:
    def chunk(kind: bytes, said: bytes) -> bytes:
        checked = struct.pack(">I", zlib.crc32(kind + said))
        return struct.pack(">I", len(said)) + kind + said + checked

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
    with pytest.raises(InvalidItem, match="60,000 x 60,000 pixels"):
        header_of(bomb)


def test_a_frame_larger_than_what_it_is_shown_in_counts() -> None:
    body = bytearray(an_image("GIF", (16, 16)))
    body[6:10] = struct.pack("<HH", 2, 2)
    assert header_of(bytes(body)) == Header("image/gif", 16, 16)


def test_a_side_that_providers_do_not_take_is_refused_and_the_longest_is_not() -> None:
    assert header_of(an_image("PNG", (MOST_SIDE, 1))).width == MOST_SIDE
    with pytest.raises(InvalidItem, match="8,001 x 1 pixels"):
        header_of(an_image("PNG", (MOST_SIDE + 1, 1)))


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(InvalidItem, match="make it smaller"):
        header_of(an_image("PNG") + bytes(MOST_BYTES))


@pytest.mark.parametrize(
    "body", [b"", b"%PDF-1.7", b"<svg></svg>", b"BM" + bytes(60), b"II*\x00" + bytes(60)]
)
def test_what_providers_do_not_take_is_refused_whatever_it_is_called(body: bytes) -> None:
    with pytest.raises(InvalidItem, match="PNG, JPEG, WebP or GIF"):
        header_of(body)


BEGINNINGS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x08\x00\x00\x00WEBP", b"GIF89a"]


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=200))
def test_whatever_follows_a_beginning_is_read_or_refused(begun: bytes, rest: bytes) -> None:
    try:
        found = header_of(begun + rest)
    except InvalidItem:
        return
    assert 0 < found.width <= MOST_SIDE
    assert 0 < found.height <= MOST_SIDE


@given(st.sampled_from(list(FORMATS)), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_byte_is_read_or_refused(kind: str, at: int, byte: int) -> None:
    body = bytearray(an_image(kind, (40, 30)))
    body[at % len(body)] = byte
    try:
        header_of(bytes(body))
    except InvalidItem:
        return
