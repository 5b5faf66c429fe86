"""Objects of logs, unpacked by their format as docs and readers know it; written apart from the service's code."""

from __future__ import annotations

import struct
import zlib
from array import array
from dataclasses import dataclass

import zstandard

_HEADER = struct.Struct("<4sBBxxQQqIIIII")


class Damaged(Exception):
    """It is no whole object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A stretch of a log."""

    first_byte: int
    first_line: int
    continues: bool  #: it begins within a line
    text: bytes
    times: array[int]  #: of the lines that begin in it


def unpack(data: bytes) -> Block:
    """The block in an object. Raises Damaged."""
    if len(data) < _HEADER.size:
        raise Damaged(f"it has {len(data)} bytes")
    magic, version, flags, first_byte, first_line, _time, *sizes, checksum = _HEADER.unpack_from(data)
    text_size, times_size, packed_text, packed_times = sizes
    if (magic, version) != (b"PLOG", 1) or len(data) != _HEADER.size + packed_text + packed_times:
        raise Damaged("it does not begin or end as an object does")
    body = data[_HEADER.size :]
    if zlib.crc32(body, zlib.crc32(data[: _HEADER.size - 4])) != checksum:
        raise Damaged("its checksum is wrong")
    unpacker = zstandard.ZstdDecompressor()
    text = unpacker.decompress(body[:packed_text], max_output_size=text_size) if text_size else b""
    times = unpacker.decompress(body[packed_text:], max_output_size=times_size) if times_size else b""
    if (len(text), len(times)) != (text_size, times_size):
        raise Damaged("it unpacks to other sizes than it says")
    return Block(first_byte=first_byte, first_line=first_line, continues=bool(flags & 1), text=text, times=array("q", times))
