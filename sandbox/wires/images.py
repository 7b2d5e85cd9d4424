"""Images in a request: what the two vendors take, what they refuse, and what they bill for one.

Read with Pillow, and counted by the vendors' own documents: OpenAI's "Images and vision" (tiles for
most models, patches for small ones) and Anthropic's "Vision". Nothing is fetched.
"""

import base64
import binascii
import io
import math
import re
from fnmatch import fnmatchcase

from sandbox.wires.call import Api, Json, Refused

SEEING = ("frontier-*",)
"""Models that see images; all others refuse them, as text models do."""

_DATA_URL = re.compile(r"data:(image/[a-z+.-]+);base64,(.*)", re.DOTALL)
_KINDS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
_OF_A_URL = {"url", "detail"}
_ANTHROPIC_BYTES = 5 * 1024 * 1024
_ANTHROPIC_SIDE = 8_000
_MANY, _SIDE_OF_MANY = 20, 2_000
_UNSUPPORTED = (
    "You uploaded an unsupported image. Please make sure your image has of one the following "
    "formats: ['png', 'jpeg', 'gif', 'webp']."
)


def of_openai(parts: list[Json], model: str) -> int:
    """The tokens that these ``image_url`` parts count as."""
    _check_parts("openai", model, parts)
    tokens = 0
    for part in parts:
        told = part.get("image_url")
        url = told.get("url") if isinstance(told, dict) else None
        if not isinstance(url, str) or not isinstance(told, dict) or told.keys() - _OF_A_URL:
            raise Refused(400, "Invalid type for 'image_url': expected an object with a url")
        if told.get("detail", "auto") not in ("low", "high", "auto"):
            raise Refused(400, "Invalid value for 'detail': expected low, high or auto")
        found = _DATA_URL.fullmatch(url)
        if found is None:
            raise Refused(
                400, "image_url: the sandbox takes data URLs in base64 and fetches nothing"
            )
        kind, width, height = _measured(found[2], _UNSUPPORTED)
        if kind != found[1]:
            raise Refused(400, _UNSUPPORTED, code="invalid_image_format")
        small = told.get("detail") == "low"
        if fnmatchcase(model, "frontier-mini*"):
            tokens += math.ceil(
                1.62 * patches(512, 512) if small else 1.62 * patches(width, height)
            )
        else:
            tokens += 85 if small else 85 + 170 * tiles(width, height)
    return tokens


def of_anthropic(parts: list[Json], model: str) -> int:
    """The tokens that these ``image`` blocks count as."""
    _check_parts("anthropic", model, parts)
    most = _SIDE_OF_MANY if len(parts) > _MANY else _ANTHROPIC_SIDE
    tokens = 0
    for part in parts:
        source = part.get("source")
        if part.keys() - {"type", "source", "cache_control"} or not isinstance(source, dict):
            raise Refused(400, "image.source: Field required")
        if source.get("type") != "base64":
            raise Refused(400, "image.source: the sandbox takes base64 and fetches nothing")
        if source.get("media_type") not in _KINDS.values():
            raise Refused(
                400, f"image.source.base64.media_type: Input should be {list(_KINDS.values())}"
            )
        data = source.get("data")
        if not isinstance(data, str):
            raise Refused(400, "image.source.base64.data: Field required")
        if len(data) > _ANTHROPIC_BYTES:
            raise Refused(
                400,
                "image.source.base64: image exceeds 5 MB maximum:"
                f" {len(data)} bytes > {_ANTHROPIC_BYTES} bytes",
            )
        kind, width, height = _measured(data, "Could not process image")
        if kind != source["media_type"]:
            raise Refused(
                400,
                f"The image was specified using the {source['media_type']} media type, but the"
                f" image appears to be a {kind} image",
            )
        if max(width, height) > most:
            raise Refused(
                400, f"At least one of the image dimensions exceed max allowed size: {most} pixels"
            )
        tokens += area(width, height)
    return tokens


def tiles(width: int, height: int) -> int:
    """Squares of 512 pixels, once scaled into 2,048 a side and to 768 on the shorter one."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    wide, high = (max(1, math.floor(side * scale)) for side in (width, height))
    return math.ceil(wide / 512) * math.ceil(high / 512)


def patches(width: int, height: int, budget: int = 1536) -> int:
    """Squares of 32 pixels, once scaled into the budget and into 2,048 pixels a side."""
    longer = max(width, height)
    if longer > 2048:
        width, height = (max(1, side * 2048 // longer) for side in (width, height))
    found = math.ceil(width / 32) * math.ceil(height / 32)
    if found <= budget:
        return found
    shrunk = math.sqrt(32 * 32 * budget / (width * height))
    wide, high = width * shrunk / 32, height * shrunk / 32
    shrunk *= min(max(1, math.floor(wide)) / wide, max(1, math.floor(high)) / high, 1.0)
    sides = [max(1, math.floor(side * shrunk)) for side in (width, height)]
    return min(budget, math.ceil(sides[0] / 32) * math.ceil(sides[1] / 32))


def area(width: int, height: int) -> int:
    """A token for 750 pixels, once scaled into 1,568 a side and to about 1,600 tokens."""
    scale = min(1.0, 1568 / max(width, height))
    pixels = width * scale * height * scale
    return max(1, math.ceil(min(pixels, 1600 * 750) / 750))


def _check_parts(api: Api, model: str, parts: list[Json]) -> None:
    if parts and not any(fnmatchcase(model, pattern) for pattern in SEEING):
        said = "Invalid content type. image_url is only supported by certain models."
        raise Refused(400, said if api == "openai" else f"{model} does not support image input")


def _measured(data: str, unreadable: str) -> tuple[str, int, int]:
    """What an image is: its media type, its width and its height."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise Refused(400, "the sandbox reads images with Pillow, which is not here") from None
    try:
        body = base64.b64decode(data, validate=True)
        with Image.open(io.BytesIO(body), formats=list(_KINDS)) as image:
            kind, (width, height) = _KINDS[image.format or ""], image.size
            moves = getattr(image, "n_frames", 1) > 1
            image.verify()
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError):
        raise Refused(400, unreadable) from None
    if moves:
        raise Refused(400, unreadable)
    return kind, width, height
