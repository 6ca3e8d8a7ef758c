"""Rows that wait for their label and left memory: some hundred of them are one segment, one record of a topic."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from stream.engine import label_table as table
from stream.errors import TaskCorrupted
from stream.records import Ints

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment that is to be written."""

    name: int  # offset of the event of its first row
    content: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """The rows of a segment, in the order of their events."""

    rows: Ints  # (n, cells): as in the ring of rows; in place of the stream's time the one that decides their horizon
    sparse: Ints  # (m, 2): to which the rows' starts and ends refer


def encode_segment(segment: Segment, scores: Sequence[str]) -> bytes:
    """The segment's bytes: a line of JSON, the rows, the sparse entries.

    Args:
        segment: what is to be written.
        scores: digest of the model of each score in a row.
    """
    head = {"version": _VERSION, "rows": segment.rows.shape, "sparse": len(segment.sparse), "scores": list(scores)}
    return orjson.dumps(head) + b"\n" + segment.rows.tobytes() + segment.sparse.tobytes()


def decode_segment(content: bytes, scores: Sequence[str]) -> Segment:
    """Read a segment whose digest is known to be right.

    Args:
        content: as `encode_segment` made it, under the same features; the models may have been others.
        scores: digest of the model of each score now; those of models that the segment does not know are NaN.

    Raises:
        TaskCorrupted: it is of another version.
    """
    line, _, rest = content.partition(b"\n")
    head: Any = orjson.loads(line)
    if head["version"] != _VERSION:
        raise TaskCorrupted(f"a segment of feature rows is of version {head['version']}, this release reads {_VERSION}")
    count, cells = head["rows"]
    saved = np.frombuffer(rest[: 8 * count * cells], np.int64).reshape(count, cells)
    sparse = np.frombuffer(rest[8 * count * cells :], np.int64).reshape(head["sparse"], 2)
    if head["scores"] == list(scores):
        return Segment(saved, sparse)
    fixed = cells - len(head["scores"])
    rows = np.full((count, fixed + len(scores)), np.float64("nan").view(np.int64))
    rows[:, :fixed] = saved[:, :fixed]
    for place, digest in enumerate(scores):
        if digest in head["scores"]:
            rows[:, fixed + place] = saved[:, fixed + head["scores"].index(digest)]
    return Segment(rows, sparse)


def digest_of(content: bytes) -> int:
    """64 bits of a digest, as a signed number: by it, what is read is known to be what was written."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def pick(rows: Ints, sparse: Ints, numbers: Ints) -> Segment:
    """Some rows of rings, or of a segment, with their sparse entries one behind the other.

    Args:
        rows: (places, cells); a number modulo places is its place.
        sparse: (places, 2), likewise.
        numbers: (n,) of the rows.
    """
    picked = rows[numbers % len(rows)]
    starts = picked[:, table.ROW_SPARSE_START]
    lengths = picked[:, table.ROW_SPARSE_END] - starts
    ends = np.cumsum(lengths)
    first = ends - lengths
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(first, lengths)
    entries = sparse[(np.repeat(starts, lengths) + within) % max(1, len(sparse))]
    picked[:, table.ROW_SPARSE_START], picked[:, table.ROW_SPARSE_END] = first, ends
    return Segment(picked, entries)


def merged(pieces: Sequence[tuple[Ints, Segment]]) -> Segment:
    """Rows of several places as one piece.

    Args:
        pieces: of each, the places of its rows in the whole, and the rows as `pick` gave them.
    """
    if len(pieces) == 1:
        return pieces[0][1]
    count = sum(len(places) for places, _ in pieces)
    rows = np.empty((count, pieces[0][1].rows.shape[1]), np.int64)
    sparse = np.concatenate([piece.sparse for _, piece in pieces])
    behind = 0
    for places, piece in pieces:
        rows[places] = piece.rows
        rows[places, table.ROW_SPARSE_START] += behind
        rows[places, table.ROW_SPARSE_END] += behind
        behind += len(piece.sparse)
    return pick(rows, sparse, np.arange(count))


def row_bytes(rows: Ints) -> Ints:
    """What each row takes in a segment."""
    sparse: Ints = rows[:, table.ROW_SPARSE_END] - rows[:, table.ROW_SPARSE_START]
    sizes: Ints = 8 * rows.shape[1] + 16 * sparse
    return sizes
