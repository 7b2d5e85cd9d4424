"""Images among the arguments of a call: taken from bytes or a file, and named by what they are.

What an item stores of an image is a name of one line, such as
``image:image/png;640x480;2f1c…``: its media type, its pixels and the hash of its bytes, which the
ledger keeps. No address is fetched, and nothing of an image goes through the broker.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from tierqueue.router.errors import InvalidItem
from tierqueue.router.images.headers import MOST_BYTES, header_of

# A producer imports its task types at every start: the ledger comes with the first call.
if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from tierqueue.ledger.contents.content_store import Content

MOST_IMAGES = 20
"""Most images of one item; from more on, Anthropic takes smaller ones only."""

MOST_TOGETHER = 20_971_520
"""Most bytes of all images of one item: in base64 they fit a request of 32 MB."""

_NAME = re.compile(
    r"image:(?P<media_type>image/(?:png|jpeg|webp|gif));(?P<width>[1-9]\d{0,3})x"
    r"(?P<height>[1-9]\d{0,3});(?P<sha256>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image by its name; ``width`` and ``height`` in pixels."""

    media_type: str
    width: int
    height: int
    sha256: str

    @classmethod
    def read(cls, name: str) -> "NamedImage":
        """The image of that name; raises ``ValueError`` for what is none."""
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError("it is no image that was taken: pass an argument of the type Image on")
        said = found.groupdict()
        return cls(said["media_type"], int(said["width"]), int(said["height"]), said["sha256"])

    def __str__(self) -> str:
        return f"image:{self.media_type};{self.width}x{self.height};{self.sha256}"


@dataclass(slots=True)
class ImageIntake:
    """How the images of one call are taken; ``bodies`` holds their bytes by hash.

    ``unattended``: the call came through the broker, or follows another one's answer. Then nobody
    is there whose files may be opened, and what came has gone where no image may.
    """

    unattended: bool = False
    bodies: dict[str, bytes] = field(default_factory=dict)

    def take(self, value: Any) -> str:
        """The name of an image; raises ``InvalidItem`` for what is none."""
        if self.unattended:
            raise InvalidItem(
                "an image does not go through the broker, nor into a later step of a chain or"
                " chord: submit the item with .delay() where the image is"
            )
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        if isinstance(value, Path):
            value = _read(value)
        if not isinstance(value, bytes | bytearray | memoryview):
            raise InvalidItem(
                "an image is its bytes, or the pathlib.Path of its file; a text is not opened, and"
                " no address is fetched"
            )
        body = bytes(value)
        header, sha256 = header_of(body), hashlib.sha256(body).hexdigest()
        self.bodies[sha256] = body
        return str(NamedImage(*header, sha256))

    def contents(self, images: Sequence[NamedImage]) -> "tuple[Content, ...]":
        """What the ledger is to keep of these images; raises ``ValueError`` where they are too
        many, or too large together.
        """
        from tierqueue.ledger.contents.content_store import Content

        if len(images) > MOST_IMAGES:
            raise ValueError(f"it has {len(images)} images, and an item {MOST_IMAGES} at the most")
        hashes = {image.sha256 for image in images}
        size = sum(len(self.bodies.get(sha256, b"")) for sha256 in hashes)
        if size > MOST_TOGETHER:
            raise ValueError(
                f"its images have {size:,} bytes together, and providers take {MOST_TOGETHER:,}"
            )
        return tuple(Content(sha256, self.bodies.get(sha256)) for sha256 in sorted(hashes))


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise InvalidItem(f"the image {path} is not there, or no regular file")
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidItem(f"the image {path} cannot be read: {error.strerror}") from None


def _taken(value: Any, info: ValidationInfo) -> str:
    if not isinstance(info.context, ImageIntake):
        raise ValueError("an image is taken by a task type alone")
    try:
        return info.context.take(value)
    except InvalidItem as error:
        raise ValueError(error.message) from None


class AnImage:
    """Marks an argument that is an image: a job reads it from the file that its row names."""


def is_image(field: "FieldInfo") -> bool:
    """Whether an argument of a task type is an image."""
    return any(isinstance(part, AnImage) for part in field.metadata)


Image = Annotated[
    bytes | Path | str,
    AnImage(),
    PlainValidator(_taken, json_schema_input_type=str),
    WithJsonSchema({"type": "string"}),
]
"""An image among a task type's arguments: its bytes, or the ``Path`` of its file.

The function that builds the prompt gets its name, and passes it on in ``Prompt.images``.
"""
