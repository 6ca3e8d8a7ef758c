"""Arrays as a file in pieces: a safetensors file all the same, whose pieces follow what changed."""

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load, save

from stream.engine.snapshot_format import Assembly, Chunk, cut, describe
from stream.engine.tensor_file import TensorFileError, arrays_of
from stream.errors import TaskCorrupted
from tests.checkpoints import assert_same, checkpoint

ARRAYS: dict[str, NDArray[np.generic]] = {
    "large": np.random.default_rng(1).random((300, 5)),
    "scalar": np.array(3.5, np.float32),
    "empty": np.zeros((0, 3)),
    "turned": np.arange(6, dtype=np.int32).reshape(2, 3).T,
    "nan": np.array([0x7FF8000000000123], np.uint64).view(np.float64),
    "pickle": np.arange(7, dtype=np.uint8),
    "flags": np.array([True, False]),
    "half": np.arange(900, dtype=np.int16),
}


def test_the_pieces_are_a_safetensors_file() -> None:
    """The library reads it; and what the library wrote is read here."""
    file = b"".join(piece.content for piece in cut(checkpoint(1, ARRAYS), 1024))
    found = load(file)
    assert sorted(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.array(array, order="C").tobytes()
    theirs = arrays_of(np.frombuffer(save({"large": ARRAYS["large"], "half": ARRAYS["half"]}), np.uint8))
    assert theirs["large"].tobytes() == ARRAYS["large"].tobytes()
    assert theirs["half"].tobytes() == ARRAYS["half"].tobytes()


def test_pieces_put_together_in_any_order_are_the_checkpoint() -> None:
    """Two of them have the same content; each array is aligned as its type wants it."""
    given = checkpoint(1, {**ARRAYS, "zeros": np.zeros(700)})
    pieces = cut(given, 1024)
    assert len({piece.key for piece in pieces}) < len(pieces)
    heard: list[float] = []
    chunks = tuple(Chunk(piece.key, 0, len(piece.content)) for piece in pieces)
    assembly = Assembly(describe(given, chunks), heard.append)
    for piece in sorted({piece.key: piece for piece in pieces}.values(), key=lambda piece: piece.key):

        def read(place: memoryview, content: memoryview = piece.content) -> int:
            place[:] = content
            return len(content)

        assembly.put(Chunk(piece.key, 0, len(piece.content)), read)
    found = assembly.checkpoint()
    assert_same(found, checkpoint(1, {name: np.array(each, order="C") for name, each in given.arrays.items()}))
    assert all(array.flags.aligned for array in found.arrays.values())
    assert heard == sorted(heard)
    assert heard[-1] == 1.0


def test_a_row_that_changed_makes_one_other_piece_and_growth_another() -> None:
    """Wherever the arrays before it moved the others to."""
    table = np.random.default_rng(1).random((1000, 4))
    before = {piece.key for piece in cut(checkpoint(1, {"a": np.zeros(1000), "table": table}), 1024)}
    table[500] += 1
    changed = {piece.key for piece in cut(checkpoint(1, {"a": np.zeros(1000), "table": table}), 1024)}
    assert len(changed - before) == 1
    grown = np.concatenate((table, np.ones((3, 4))))
    after = {piece.key for piece in cut(checkpoint(1, {"a": np.zeros(1300), "table": grown}), 1024)}
    assert len(after - changed) == 3  # the header, the ends of both


def test_a_piece_that_is_not_what_its_name_says_is_refused() -> None:
    """Shorter, longer, or other bytes."""
    given = checkpoint(1)
    (piece,) = cut(given)
    chunk = Chunk(piece.key, 5, len(piece.content))

    def other(place: memoryview) -> int:
        place[:] = bytes(len(place))
        return len(place)

    for read in (other, lambda place: 0, lambda place: len(place) + 1):
        with pytest.raises(TaskCorrupted, match=f"cycle 1: chunk {piece.key} at 5 is gone or damaged"):
            Assembly(describe(given, (chunk,))).put(chunk, read)


@pytest.mark.parametrize("content", [b"", b"12345678", b"\2" + bytes(7) + b"[]", b"\2" + bytes(7) + b"{x"])
def test_what_is_no_such_file_is_told(content: bytes) -> None:
    """Too short, a header beyond the end, one that is no mapping, one that is no JSON."""
    with pytest.raises(TensorFileError):
        arrays_of(np.frombuffer(content, np.uint8))
