"""One block of a log as one object: a header, the text and the times, each compressed with zstd.

    "PLOG" version flags  first_byte first_line continued_time  sizes (text, times; plain and packed)  crc32 │ text │ times

Numbers are little-endian. The checksum is of everything but itself. Sizes are checked before anything is unpacked, so that a
damaged object costs no memory.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array

import zstandard

from app.domain.logs import LogBlock
from app.logs.errors import LogObjectDamaged

_MAGIC = b"PLOG"
_VERSION = 1
_CONTINUES = 1  # flag
_HEADER = struct.Struct("<4sBBxxQQqIIIII")
_CHECKSUM_BYTES = 4
_LEVEL = 1  # half the time of level 3, and logs become only a tenth larger
#: No object is larger when unpacked: twice what a collector gathers, with a time for each of its bytes.
MAX_TEXT_BYTES = 64 * 1024 * 1024
_TIME_BYTES = 8


def encode_block(block: LogBlock) -> bytes:
    """The object that holds this block. CPU-bound (about 3 ms per MiB, the interpreter's lock released)."""
    times = little_endian(block.times).tobytes()
    if len(block.text) > MAX_TEXT_BYTES:
        raise ValueError(f"a block of {len(block.text)} bytes is too large for an object ({MAX_TEXT_BYTES} at most)")
    packer = zstandard.ZstdCompressor(level=_LEVEL)
    packed_text, packed_times = packer.compress(block.text), packer.compress(times)
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        _CONTINUES if block.continues else 0,
        block.first_byte,
        block.first_line,
        block.continued_time,
        len(block.text),
        len(times),
        len(packed_text),
        len(packed_times),
        0,
    )[:-_CHECKSUM_BYTES]
    checksum = _checksum(header, packed_text, packed_times)
    return b"".join([header, checksum.to_bytes(_CHECKSUM_BYTES, "little"), packed_text, packed_times])


def decode_block(name: str, data: bytes) -> LogBlock:
    """The block in an object; `name` is for the error's message.

    Raises:
        LogObjectDamaged: it is cut off, changed, or of another version.
    """
    if len(data) < _HEADER.size or data[:4] != _MAGIC:
        raise LogObjectDamaged(name, f"it has {len(data)} bytes and does not start as a log object")
    _magic, version, flags, *numbers, packed_text, packed_times, checksum = _HEADER.unpack_from(data)
    first_byte, first_line, continued_time, text_size, times_size = numbers
    if version != _VERSION:
        raise LogObjectDamaged(name, f"it is of version {version}, this podrun knows version {_VERSION}")
    if len(data) != _HEADER.size + packed_text + packed_times:
        raise LogObjectDamaged(name, f"it has {len(data)} bytes, not {_HEADER.size + packed_text + packed_times}")
    body = memoryview(data)[_HEADER.size :]
    if checksum != _checksum(data[: _HEADER.size - _CHECKSUM_BYTES], body, b""):
        raise LogObjectDamaged(name, "its checksum is wrong")
    if text_size > MAX_TEXT_BYTES or times_size > (MAX_TEXT_BYTES + 1) * _TIME_BYTES or times_size % _TIME_BYTES:
        raise LogObjectDamaged(name, f"its sizes are impossible: {text_size} bytes of text, {times_size} of times")
    times = array("q", _unpack(name, body[packed_text:], times_size))
    return LogBlock(
        first_byte=first_byte,
        text=_unpack(name, body[:packed_text], text_size),
        first_line=first_line,
        times=little_endian(times),
        continues=bool(flags & _CONTINUES),
        continued_time=continued_time,
    )


def little_endian(times: array[int]) -> array[int]:
    """The times in the byte order of objects (and back)."""
    if sys.byteorder == "little":
        return times
    turned = array("q", times)
    turned.byteswap()
    return turned


def _checksum(header: bytes, text: bytes | memoryview, times: bytes) -> int:
    return zlib.crc32(times, zlib.crc32(text, zlib.crc32(header)))


def _unpack(name: str, packed: memoryview, size: int) -> bytes:
    try:
        if zstandard.frame_content_size(packed) != size:
            raise LogObjectDamaged(name, f"a part of it does not unpack to {size} bytes")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except zstandard.ZstdError as exc:
        raise LogObjectDamaged(name, f"it does not unpack: {exc}") from exc
