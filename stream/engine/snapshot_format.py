"""Snapshots as bytes: the arrays as one safetensors file, the rest as a JSON manifest. Both carry checksums.

Format 1. A reader knows all formats up to its own; what it does not know it refuses with its number.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from stream.engine.snapshot import Checkpoint
from stream.errors import TaskCorrupted
from stream.records import TopicPartition

FORMAT = 1
_MAGIC = b"stream-snapshot"
# A safetensors file begins with the length of its header (uint64, little-endian).
_LENGTH_BYTES = 8


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
    checksum: str  # of the arrays' file
    chunks: tuple[Chunk, ...] = ()  # in order; empty where the file is kept whole


def checksum_of(content: bytes | memoryview) -> str:
    """The digest that names chunks and guards files: BLAKE2b of 16 bytes, in hex."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def encode_arrays(checkpoint: Checkpoint) -> bytes:
    """The arrays of a checkpoint as a safetensors file."""
    file: bytes = save({name: np.asarray(array, order="C") for name, array in sorted(checkpoint.arrays.items())})
    return file


def describe(checkpoint: Checkpoint, file: bytes, chunks: tuple[Chunk, ...] = ()) -> Manifest:
    """The manifest of a checkpoint whose arrays were encoded as `file`."""
    return Manifest(
        checkpoint.partition,
        checkpoint.cycle,
        checkpoint.digest,
        checkpoint.plan_digest,
        checkpoint.next_offsets,
        checkpoint.created_ms,
        checkpoint.facts,
        len(file),
        checksum_of(file),
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
            "checksum": manifest.checksum,
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
    return Manifest(**fields)


def decode_checkpoint(manifest: Manifest, file: bytes) -> Checkpoint:
    """Put a checkpoint together again; raises TaskCorrupted if the file is not the one that the manifest describes."""
    where = f"snapshot of partition {manifest.partition}, cycle {manifest.cycle}"
    if len(file) != manifest.size_bytes or checksum_of(file) != manifest.checksum:
        raise TaskCorrupted(
            f"{where}: its arrays are damaged ({len(file)} bytes of {manifest.size_bytes}, or another checksum)"
        )
    try:
        arrays: dict[str, NDArray[np.generic]] = load(file)
    except SafetensorError as error:
        raise TaskCorrupted(f"{where}: its arrays cannot be read: {error}") from error
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


def cut(file: bytes, at_most_bytes: int) -> list[memoryview]:
    """Cut an arrays' file into chunks that begin anew with each array.

    An array that did not change since the last snapshot then gives the same chunks, wherever the arrays before it
    moved it to, and need not be written again.
    """
    header_bytes = _LENGTH_BYTES + int.from_bytes(file[:_LENGTH_BYTES], "little")
    header: Any = orjson.loads(file[_LENGTH_BYTES:header_bytes])
    header.pop("__metadata__", None)
    ends = sorted({header_bytes, *(header_bytes + entry["data_offsets"][1] for entry in header.values())})
    view, pieces, start = memoryview(file), [], 0
    for end in ends:
        pieces += [view[at : min(at + at_most_bytes, end)] for at in range(start, end, at_most_bytes)]
        start = end
    return pieces
