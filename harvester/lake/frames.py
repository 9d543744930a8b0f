"""The bytes of a spool segment: pure, it knows neither disks nor what is in a record.

    segment = b"HVSPOOL1" frame*
    frame   = b"FRME" length:u32 crc32:u32 chunk*
    chunk   = name_length:u8 count:u32 first:u32 last:u32 raw:u32 stored:u32 name data
    data    = zstd(meta_length:u32 meta pages)

A frame is what was made durable at once. Inside, the records stand in one chunk per
endpoint, so that a build reads one endpoint at a time. `first` and `last` are the
lowest and the highest first day of the chunk's windows, `meta` is a JSON list with
each record's values, `pages` are the answers' bytes one after another.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap
from typing import Any

import orjson
import pyarrow as pa

MAGIC = b"HVSPOOL1"
_FRAME_MAGIC = b"FRME"
_FRAME = struct.Struct("<4sII")
_CHUNK = struct.Struct("<BIIIII")
_META = struct.Struct("<I")

_CODEC = pa.Codec("zstd", compression_level=1)
"""Beside lz4 it costs one microsecond more a body and a third of the bytes."""

Segment = bytes | mmap
"""The bytes of a segment, in memory or mapped into it."""

Packed = tuple[int, Sequence[object], Sequence[bytes]]
"""One record: the first day of its window, its values, and its pages."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where one endpoint's records of one frame lie; they stay on the disk."""

    endpoint: str
    count: int
    first: int
    last: int
    """The lowest and the highest first day of the windows."""

    raw: int
    """Bytes before compression."""

    stored: int
    offset: int
    """From the start of the segment."""

    crc: int


def frame(chunks: Iterable[bytes]) -> bytes:
    """A frame of these chunks."""
    payload = b"".join(chunks)
    return _FRAME.pack(_FRAME_MAGIC, len(payload), zlib.crc32(payload)) + payload


def chunk(endpoint: str, records: Sequence[Packed]) -> bytes:
    """A chunk of one endpoint's records."""
    meta = orjson.dumps(
        [[*values, [len(page) for page in pages]] for _, values, pages in records]
    )
    pages = [page for record in records for page in record[2]]
    raw = b"".join([_META.pack(len(meta)), meta, *pages])
    stored: bytes = _CODEC.compress(raw, asbytes=True)
    name = endpoint.encode()
    firsts = [record[0] for record in records]
    head = (len(name), len(records), min(firsts), max(firsts), len(raw), len(stored))
    return _CHUNK.pack(*head) + name + stored


def frames(segment: Segment, start: int = len(MAGIC)) -> Iterator[tuple[int, int]]:
    """Where the sound frames lie, from `start` up to the first that is not: from, to."""
    while (end := _end(segment, start)) is not None:
        yield start, end
        start = end


def sound_frame_behind(segment: Segment, start: int) -> bool:
    """Whether a sound frame begins anywhere behind this place."""
    at = segment.find(_FRAME_MAGIC, start + 1)
    while at >= 0:
        if _end(segment, at) is not None:
            return True
        at = segment.find(_FRAME_MAGIC, at + 1)
    return False


def chunks(sound_frame: bytes | memoryview, offset: int) -> Iterator[Chunk]:
    """The chunks of a sound frame that lies at this offset of its segment."""
    at = _FRAME.size
    while at < len(sound_frame):
        length, count, first, last, raw, stored = _CHUNK.unpack_from(sound_frame, at)
        at += _CHUNK.size
        name = bytes(sound_frame[at : at + length]).decode()
        at += length
        crc = zlib.crc32(sound_frame[at : at + stored])
        yield Chunk(name, count, first, last, raw, stored, offset + at, crc)
        at += stored


def unpack(
    chunk: Chunk, stored: bytes
) -> Iterator[tuple[list[Any], tuple[bytes, ...]]]:
    """Each record's values and pages. Raises ValueError for other bytes than written."""
    if zlib.crc32(stored) != chunk.crc:
        raise ValueError("the checksum does not fit")
    raw = _CODEC.decompress(stored, decompressed_size=chunk.raw, asbytes=True)
    at: int = _META.size + _META.unpack_from(raw)[0]
    for values in orjson.loads(raw[_META.size : at]):
        pages = []
        for length in values.pop():
            pages.append(raw[at : at + length])
            at += length
        yield values, tuple(pages)


def _end(segment: Segment, at: int) -> int | None:
    """Where the frame that begins here ends; None if there is no sound one."""
    start = at + _FRAME.size
    if start > len(segment):
        return None
    magic, length, crc = _FRAME.unpack_from(segment, at)
    payload = memoryview(segment)[start : start + length]
    if magic != _FRAME_MAGIC or len(payload) < length or zlib.crc32(payload) != crc:
        return None
    return start + int(length)
