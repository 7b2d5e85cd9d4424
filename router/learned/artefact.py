"""Artefacts: numbers and plain facts in one safetensors file, known by its hash, never executed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from tierqueue.router.errors import InvalidArtefact

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 64 * 1024 * 1024
"""Bytes of an artefact that is read at all."""

_HEADER = 1024 * 1024
"""Bytes of its header, with the facts in it."""

_FACTS = "tierqueue"


@dataclass(frozen=True, slots=True)
class Artefact:
    """What a file holds: its ``kind``, its facts (plain JSON) and its arrays by name."""

    kind: str
    sha256: str
    facts: Mapping[str, Any]
    numbers: "Mapping[str, NDArray[Any]]"

    @property
    def version(self) -> str:
        """How it is called in receipts: its kind and the beginning of its hash."""
        return f"{self.kind}-{self.sha256[:12]}"

    def array(self, name: str, *shape: int | None) -> "NDArray[Any]":
        """An array of finite numbers; ``None`` in ``shape`` is any length.

        Raises ``InvalidArtefact`` where it is missing, of another shape, or holds what is no
        number.
        """
        import numpy as np

        found = self.numbers.get(name)
        if found is None:
            raise InvalidArtefact(
                f"the artefact {self.version} lacks its array {name!r}: train it anew"
            )
        fits = len(found.shape) == len(shape) and all(
            stated in (None, size) for stated, size in zip(shape, found.shape, strict=True)
        )
        if not fits or not np.isfinite(found).all():
            raise InvalidArtefact(
                f"the array {name!r} of the artefact {self.version} is of the shape "
                f"{found.shape}, or holds what is no number: train it anew"
            )
        return found

    def fact(self, name: str, kind: type) -> Any:
        """A fact of this type; raises ``InvalidArtefact`` where there is none."""
        found = self.facts.get(name)
        if not isinstance(found, kind) or isinstance(found, bool):
            raise InvalidArtefact(
                f"the artefact {self.version} does not say its {name!r}: train it anew"
            )
        return found


def write(kind: str, facts: Mapping[str, Any], numbers: "Mapping[str, NDArray[Any]]") -> bytes:
    """The bytes of an artefact; the same bytes for the same content."""
    from safetensors.numpy import save

    text = json.dumps({"kind": kind, "facts": facts}, sort_keys=True, allow_nan=False)
    saved: bytes = save(dict(sorted(numbers.items())), metadata={_FACTS: text})
    return saved


def read(content: bytes, kind: str, expected: str | None = None) -> Artefact:
    """The artefact in ``content``; ``expected`` is the SHA-256 that it must have, in hex.

    Raises ``InvalidArtefact`` where the hash or the kind is another, or where it cannot be read.
    """
    digest = sha256(content).hexdigest()
    if expected is not None and digest != expected.lower():
        raise InvalidArtefact(
            f"the artefact's SHA-256 is {digest} and {expected} was asked for: another file lies "
            "there than the one that was named"
        )
    if len(content) > LARGEST:
        raise InvalidArtefact(f"the artefact has {len(content)} bytes, more than {LARGEST}")
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ModuleNotFoundError as missing:
        raise InvalidArtefact(
            f"an artefact needs the extra `router`: pip install 'tierqueue[router]' ({missing})"
        ) from None
    try:
        numbers: Mapping[str, NDArray[Any]] = load(content)
        said = json.loads(_header(content)["__metadata__"][_FACTS])
        found, facts = said["kind"], said["facts"]
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as wrong:
        raise InvalidArtefact(
            f"the artefact {digest[:12]} cannot be read, it is damaged or of another program: "
            f"{type(wrong).__name__}"
        ) from None
    if found != kind or not isinstance(facts, dict):
        raise InvalidArtefact(f"the artefact is a {found!r} and a {kind!r} is needed")
    return Artefact(kind, digest, facts, numbers)


def _header(content: bytes) -> Any:
    size = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + min(size, _HEADER)])
