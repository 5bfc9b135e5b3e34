from __future__ import annotations

from kernel_model.litecore.symbols import HEAP_SYMBOLS, LAYER_SYMBOLS


def test_layers_need_the_symbols_of_those_below() -> None:
    assert tuple(LAYER_SYMBOLS) == ("memmap", "heap")
    assert set(LAYER_SYMBOLS["heap"]) == {*HEAP_SYMBOLS, *LAYER_SYMBOLS["memmap"]}
    assert not {*HEAP_SYMBOLS} & {*LAYER_SYMBOLS["memmap"]}
