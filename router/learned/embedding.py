"""A static embedding: a vector for each token, and a text's is their mean. Nothing is executed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned.text import LONGEST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Vector = NDArray[np.float32]

LARGEST = 512 * 1024 * 1024
"""Bytes of a file that is read at all."""

WIDEST = 1024
"""Numbers of a token's vector, at most."""

TOKENS = 2048
"""Tokens of a text that are looked at; what follows changes nothing."""

_NAMES = ("embeddings", "embedding.weight", "embed_tokens.weight", "word_embeddings.weight")
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, slots=True)
class Embedding:
    """A tokenizer and the matrix of its tokens' vectors, known by the SHA-256 of both files.

    ``stored`` holds a bfloat16 as the bits of a whole number: numpy has no such type.
    """

    sha256: str
    tokenizer: "Tokenizer" = field(compare=False)
    stored: "NDArray[Any]" = field(compare=False)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self.stored.shape[1])

    def mean(self, content: str) -> "Vector | None":
        """The mean of the vectors of a text's tokens, of length one; ``None`` where it has none.

        Raises ``InvalidArtefact`` where its tokenizer refuses the text.
        """
        import numpy as np

        seen = content[:LONGEST].encode("utf-8", "replace").decode()
        try:
            ids = self.tokenizer.encode(seen, add_special_tokens=False).ids[:TOKENS]
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception for everything
            why = type(error).__name__
            raise InvalidArtefact(f"the embedding's tokenizer refuses a text: {why}") from None
        if not ids:
            return None
        rows = self.stored[ids]
        if rows.dtype == np.uint16:
            rows = (rows.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return _of_length_one(rows.astype(np.float32).mean(axis=0))

    @classmethod
    def read(cls, tokenizer: bytes, numbers: bytes) -> Self:
        """The embedding in a ``tokenizer.json`` and a safetensors file with one matrix of vectors.

        Raises ``InvalidArtefact`` where they are no such thing, too large, or not of one another.
        """
        if max(len(tokenizer), len(numbers)) > LARGEST:
            raise InvalidArtefact(f"an embedding's file has more than {LARGEST} bytes")
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as missing:
            raise InvalidArtefact(
                "an embedding needs the extra `embedding`: pip install"
                f" 'tierqueue[router,embedding]' ({missing})"
            ) from None
        stored = _matrix(numbers)
        try:
            read = Tokenizer.from_buffer(tokenizer)
        except Exception as error:  # noqa: BLE001 - the library raises plain Exception for everything
            raise InvalidArtefact(
                f"the embedding's tokenizer.json cannot be read: {type(error).__name__}"
            ) from None
        last = max(read.get_vocab(with_added_tokens=True).values(), default=-1)
        if not 0 <= last < len(stored):
            raise InvalidArtefact(
                f"the embedding has {len(stored)} vectors, and its tokenizer's last token is {last}"
            )
        # A text is taken whole, and what stands in it is never a mark of the template.
        read.no_truncation()
        read.no_padding()
        read.encode_special_tokens = True
        both = sha256(tokenizer).digest() + sha256(numbers).digest()
        return cls(sha256(both).hexdigest(), read, stored)


@dataclass(frozen=True, slots=True)
class Meaning:
    """An embedding, seen from the ``middle`` of the texts of a training: the means of any two texts
    point much the same way, and what is left beside that tells them apart.
    """

    embedding: Embedding
    middle: "Vector"

    @classmethod
    def of_texts(cls, embedding: Embedding, contents: Sequence[str]) -> Self:
        """Raises as ``Embedding.mean`` does."""
        import numpy as np

        means = [mean for one in contents if (mean := embedding.mean(one)) is not None]
        middle = np.mean(means, axis=0) if means else np.zeros(embedding.width)
        return cls(embedding, middle.astype(np.float32))

    def vector(self, content: str) -> "Vector":
        """A text's, of length one (or nothing at all); raises as ``Embedding.mean`` does."""
        import numpy as np

        mean = self.embedding.mean(content)
        return np.zeros_like(self.middle) if mean is None else _of_length_one(mean - self.middle)


def _of_length_one(vector: "Vector") -> "Vector":
    import numpy as np

    length = np.float32(np.linalg.norm(vector))
    return vector / length if 0 < length < np.inf else np.zeros_like(vector)


def _matrix(content: bytes) -> "NDArray[Any]":
    """The one matrix of a safetensors file that is known by its name, else the one there is."""
    import numpy as np

    try:
        from safetensors import SafetensorError, deserialize
    except ModuleNotFoundError as missing:
        raise InvalidArtefact(
            f"an embedding needs the extra `router`: pip install 'tierqueue[router]' ({missing})"
        ) from None
    try:
        parts: list[tuple[str, Any]] = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise InvalidArtefact("the embedding's safetensors file cannot be read") from None
    tensors = {name: told for name, told in parts if len(told["shape"]) == 2}
    known = [name for name in tensors if name.endswith(_NAMES)] or list(tensors)
    if len(known) != 1:
        raise InvalidArtefact(
            f"the embedding's safetensors file has {len(known)} matrices that may be its tokens'"
        )
    told = tensors[known[0]]
    rows, width = told["shape"]
    if (dtype := _DTYPES.get(told["dtype"])) is None or not (rows and 1 <= width <= WIDEST):
        raise InvalidArtefact(
            f"the embedding's matrix is {rows} by {width} of {told['dtype']}: it takes 1 to"
            f" {WIDEST} numbers a token, of {', '.join(_DTYPES)}"
        )
    found = np.frombuffer(told["data"], dtype).reshape(rows, width)
    finite = (found & 0x7F80) != 0x7F80 if found.dtype == np.uint16 else np.isfinite(found)
    if not finite.all():
        raise InvalidArtefact("the embedding's matrix holds what is no number")
    return found
