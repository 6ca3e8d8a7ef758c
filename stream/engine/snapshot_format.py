"""Snapshots as bytes: the arrays as one safetensors file in pieces, the rest as a JSON manifest that names them.

A piece (a *chunk*) is named by the digest of its content. Each large array is cut from its own beginning, so that one
row that changed makes one other chunk, however the arrays before it grew; small arrays share one. What stands in the
manifest is under its checksum, the chunks under their names.

Format 2. Format 1 had a checksum of the whole file, and in folders the file in one piece. A reader knows all formats up
to its own; what it does not know it refuses with its number.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream.engine.snapshot import Checkpoint
from stream.engine.tensor_file import TensorFileError, arrays_of, blocks_of
from stream.errors import TaskCorrupted
from stream.records import Bytes, TopicPartition

FORMAT = 2
_MAGIC = b"stream-snapshot"
# One key that was seen costs a chunk of each table. Smaller ones would make more of them: a gigabyte has 4,096, whose
# manifest is 200 KB, and as many files or objects.
CHUNK_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the arrays' file, named by the digest of its content, and where its store put it."""

    key: str
    place: int  # the store's own: an offset in a topic
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything of a checkpoint but its arrays, and how to find and check those."""

    partition: int
    cycle: int
    digest: str
    plan_digest: str
    next_offsets: Mapping[TopicPartition, int]
    created_ms: int
    facts: Mapping[str, str]
    size_bytes: int  # of the arrays' file
    chunks: tuple[Chunk, ...]  # in order; empty where the file is kept whole (format 1)
    checksum: str = ""  # of the arrays' file (format 1)
    format: int = FORMAT

    @property
    def where(self) -> str:
        """For messages."""
        return f"snapshot of partition {self.partition}, cycle {self.cycle}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk's content with its name."""

    key: str
    content: memoryview


def ignore(_: float) -> None:
    """Nobody hears of progress."""


def checksum_of(content: bytes | memoryview) -> str:
    """The digest that names chunks and guards manifests: BLAKE2b of 16 bytes, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def cut(checkpoint: Checkpoint, at_most_bytes: int = CHUNK_BYTES) -> list[Piece]:
    """The arrays' file in pieces, which are views of the checkpoint's arrays."""
    pieces = []
    for block in blocks_of(checkpoint.arrays, small_bytes=at_most_bytes // 4):
        for start in range(0, len(block), at_most_bytes):
            content = block[start : start + at_most_bytes]
            pieces.append(Piece(checksum_of(content), content))
    return pieces


def describe(checkpoint: Checkpoint, chunks: tuple[Chunk, ...]) -> Manifest:
    """The manifest of a checkpoint whose arrays' file was cut into these chunks."""
    return Manifest(
        checkpoint.partition,
        checkpoint.cycle,
        checkpoint.digest,
        checkpoint.plan_digest,
        checkpoint.next_offsets,
        checkpoint.created_ms,
        checkpoint.facts,
        sum(chunk.size_bytes for chunk in chunks),
        chunks,
    )


def encode_manifest(manifest: Manifest) -> bytes:
    """One line of format and checksum, then JSON."""
    body = orjson.dumps(
        {
            "partition": manifest.partition,
            "cycle": manifest.cycle,
            "digest": manifest.digest,
            "plan_digest": manifest.plan_digest,
            "next_offsets": [[*source, offset] for source, offset in sorted(manifest.next_offsets.items())],
            "created_ms": manifest.created_ms,
            "facts": dict(manifest.facts),
            "size_bytes": manifest.size_bytes,
            "chunks": [[chunk.key, chunk.place, chunk.size_bytes] for chunk in manifest.chunks],
        },
        option=orjson.OPT_SORT_KEYS,
    )
    return b"%s %d %s\n%s" % (_MAGIC, FORMAT, checksum_of(body).encode(), body)


def decode_manifest(content: bytes) -> Manifest:
    """Read a manifest; raises TaskCorrupted if it is damaged or of a format that this release does not know."""
    line, _, body = content.partition(b"\n")
    words = line.split(b" ")
    if len(words) != 3 or words[0] != _MAGIC or not words[1].isdigit():
        raise TaskCorrupted("the snapshot's manifest is damaged: it does not begin with its format")
    if not 1 <= int(words[1]) <= FORMAT:
        raise TaskCorrupted(
            f"the snapshot is of format {int(words[1])}, this release reads up to {FORMAT}: run the release that "
            "wrote it"
        )
    if checksum_of(body).encode() != words[2]:
        raise TaskCorrupted("the snapshot's manifest is damaged: its checksum does not match")
    fields: Any = orjson.loads(body)
    fields["next_offsets"] = {TopicPartition(topic, number): at for topic, number, at in fields["next_offsets"]}
    fields["chunks"] = tuple(Chunk(*chunk) for chunk in fields["chunks"])
    return Manifest(**fields, format=int(words[1]))


class Assembly:
    """The arrays' file of a manifest, put together from its chunks in any order, each checked as it comes.

    Args:
        manifest: whose file.
        on_progress: hears the share that is there, 0 to 1.
    """

    def __init__(self, manifest: Manifest, on_progress: Callable[[float], None] = ignore) -> None:
        self._manifest = manifest
        self._on_progress = on_progress
        self._missing_bytes = manifest.size_bytes
        self._file: Bytes = np.empty(manifest.size_bytes, np.uint8)
        ends = np.cumsum([0, *(chunk.size_bytes for chunk in manifest.chunks)]).tolist()
        self._spans: dict[str, list[tuple[int, int]]] = {}
        for chunk, span in zip(manifest.chunks, pairwise(ends), strict=True):
            self._spans.setdefault(chunk.key, []).append(span)

    def put(self, chunk: Chunk, read: Callable[[memoryview], int]) -> None:
        """Have `read` fill the chunk's place; it returns how many bytes it had. Threads may do so at once.

        Raises:
            TaskCorrupted: the chunk is damaged.
        """
        (start, end), *others = self._spans[chunk.key]
        place = self._file[start:end].data
        if read(place) != len(place) or checksum_of(place) != chunk.key:
            raise TaskCorrupted(f"{self._manifest.where}: chunk {chunk.key} at {chunk.place} is gone or damaged")
        for first, last in others:
            self._file[first:last] = self._file[start:end]
        self._missing_bytes -= (1 + len(others)) * len(place)
        self._on_progress(1 - self._missing_bytes / self._manifest.size_bytes)

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, once every chunk was put; its arrays are views of the one file."""
        return decode_checkpoint(self._manifest, self._file)


def decode_checkpoint(manifest: Manifest, file: Bytes) -> Checkpoint:
    """Put a checkpoint together again; its arrays are views of the file.

    Raises:
        TaskCorrupted: the file is not the one that the manifest describes.
    """
    if len(file) != manifest.size_bytes or (manifest.checksum and checksum_of(file.data) != manifest.checksum):
        raise TaskCorrupted(
            f"{manifest.where}: its arrays are damaged: {len(file)} bytes of {manifest.size_bytes}, or another checksum"
        )
    try:
        arrays: dict[str, NDArray[np.generic]] = arrays_of(file)
    except TensorFileError as error:
        raise TaskCorrupted(f"{manifest.where}: its arrays cannot be read: {error}") from error
    return Checkpoint(
        partition=manifest.partition,
        cycle=manifest.cycle,
        digest=manifest.digest,
        plan_digest=manifest.plan_digest,
        next_offsets=manifest.next_offsets,
        created_ms=manifest.created_ms,
        arrays=arrays,
        facts=manifest.facts,
    )
