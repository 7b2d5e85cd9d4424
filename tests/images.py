"""Images as people have them, made by Pillow."""

import io
from typing import Any

from PIL import Image

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}


def an_image(
    kind: str = "PNG",
    size: tuple[int, int] = (640, 480),
    *,
    colour: str = "red",
    mode: str = "RGB",
    **how: Any,
) -> bytes:
    """A whole image of one colour."""
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, kind, **how)
    return written.getvalue()


def a_moving_image(kind: str) -> bytes:
    """Two frames."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    written = io.BytesIO()
    frames[0].save(written, kind, save_all=True, append_images=frames[1:])
    return written.getvalue()
