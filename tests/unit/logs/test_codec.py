from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.logs import LogBlock
from app.logs.codec import decode_block, encode_block
from app.logs.errors import LogObjectDamaged


def block(text: bytes = b"a\nb\n", times: tuple[int, ...] = (1, 2), **values) -> LogBlock:
    return LogBlock(first_byte=7, text=text, first_line=3, times=array("q", times), **values)


@given(
    text=st.binary(min_size=1, max_size=300),
    times=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    continues=st.booleans(),
)
def test_codec__any_block__comes_back(text, times, continues):
    made = block(text, tuple(times), continues=continues, continued_time=5 if continues else 0)
    assert decode_block("o", encode_block(made)) == made


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_codec__one_bit_changed__damaged(place, bit):
    data = bytearray(encode_block(block(b"some text\n" * 20)))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(LogObjectDamaged):
        decode_block("o", bytes(data))


@pytest.mark.parametrize("size", [0, 10, 63, 80])
def test_codec__cut_off__damaged(size):
    with pytest.raises(LogObjectDamaged, match="damaged"):
        decode_block("o", encode_block(block(b"some text\n" * 20))[:size])
