"""An artefact is numbers known by their hash: other files, damaged ones, programs are refused."""

import pickle
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierqueue.router.errors import InvalidArtefact
from tierqueue.router.learned import artefact

CONTENT = artefact.write("gain", {"rows": 3}, {"weights": np.arange(4, dtype=np.float32)})


def test_what_was_written_is_read_under_its_hash() -> None:
    held = artefact.read(CONTENT, "gain", sha256(CONTENT).hexdigest().upper())
    assert held.fact("rows", int) == 3
    assert held.array("weights", 4).tolist() == [0, 1, 2, 3]
    assert held.version == f"gain-{sha256(CONTENT).hexdigest()[:12]}"


def test_the_same_content_is_the_same_bytes() -> None:
    again = artefact.write("gain", {"rows": 3}, {"weights": np.arange(4, dtype=np.float32)})
    assert again == CONTENT


def test_another_file_than_the_one_named_is_refused() -> None:
    with pytest.raises(InvalidArtefact, match="another file lies there"):
        artefact.read(CONTENT, "gain", "0" * 64)


def test_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArtefact, match="a 'gain' and a 'surrogate' is needed"):
        artefact.read(CONTENT, "surrogate")


class Runs:
    """A pickle that would end the test."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 8, CONTENT[:-3], CONTENT + b"x", b"\xff" * 64, pickle.dumps(Runs())],
)
def test_what_is_damaged_or_a_program_is_refused_and_never_run(content: bytes) -> None:
    with pytest.raises(InvalidArtefact, match="cannot be read"):
        artefact.read(content, "gain")


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_a_changed_byte_is_never_more_than_a_refusal(at: int, by: int) -> None:
    changed = bytearray(CONTENT)
    changed[at] ^= by
    with pytest.raises(InvalidArtefact):
        artefact.read(bytes(changed), "gain", sha256(CONTENT).hexdigest())
    try:
        artefact.read(bytes(changed), "gain").array("weights", 4)
    except InvalidArtefact:
        return


def test_arrays_of_another_shape_and_what_is_no_number_are_refused() -> None:
    held = artefact.read(CONTENT, "gain")
    with pytest.raises(InvalidArtefact, match="of the shape"):
        held.array("weights", 5)
    with pytest.raises(InvalidArtefact, match="lacks its array 'bias'"):
        held.array("bias", 5)
    with pytest.raises(InvalidArtefact, match="does not say its 'labels'"):
        held.fact("labels", list)
    odd = artefact.write("gain", {}, {"weights": np.array([np.nan], np.float32)})
    with pytest.raises(InvalidArtefact, match="no number"):
        artefact.read(odd, "gain").array("weights", 1)


def test_a_file_of_any_size_is_not_read() -> None:
    with pytest.raises(InvalidArtefact, match="more than"):
        artefact.read(bytes(artefact.LARGEST + 1), "gain")
