"""Blocks with a header, of LiteCore's heap and of BTRON/386's pools."""

from __future__ import annotations

from kernel_model.blocks import HEADER_BYTES, Block
from kernel_model.structs import BLOCK_HEADER, MPL_BLOCK


def test_the_headers_of_both_kernels_have_one_size() -> None:
    assert BLOCK_HEADER.size == MPL_BLOCK.size == HEADER_BYTES


def test_the_body_comes_after_the_header() -> None:
    block = Block(0x1000, 24, used=True)
    assert (block.body, block.end) == (0x1008, 0x1020)
