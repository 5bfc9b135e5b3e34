from __future__ import annotations

from kernel_model.btron.symbols import LAYER_SYMBOLS


def test_layers_need_the_symbols_of_those_below() -> None:
    assert tuple(LAYER_SYMBOLS) == ("pmem", "kmem", "pools", "regions")
    assert set(LAYER_SYMBOLS["pmem"]) < set(LAYER_SYMBOLS["kmem"]) < set(LAYER_SYMBOLS["pools"])
    assert set(LAYER_SYMBOLS["regions"]) - set(LAYER_SYMBOLS["pools"]) == {"space_table", "page_directory"}
    assert set(LAYER_SYMBOLS["regions"]) > set(LAYER_SYMBOLS["pmem"])
