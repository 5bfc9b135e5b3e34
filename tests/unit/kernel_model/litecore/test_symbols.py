from __future__ import annotations

from itertools import pairwise

from kernel_model.litecore.symbols import HEAP_SYMBOLS, LAYER_SYMBOLS


def test_layers_need_the_symbols_of_those_below() -> None:
    assert tuple(LAYER_SYMBOLS) == ("memmap", "heap", "paging", "vspace")
    for lower, upper in pairwise(LAYER_SYMBOLS):
        assert set(LAYER_SYMBOLS[lower]) < set(LAYER_SYMBOLS[upper])
    assert set(LAYER_SYMBOLS["heap"]) == {*HEAP_SYMBOLS, *LAYER_SYMBOLS["memmap"]}
    assert not {*HEAP_SYMBOLS} & {*LAYER_SYMBOLS["memmap"]}
