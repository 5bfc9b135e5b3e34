"""The C face: words in, words out, and what the symbols are for."""

from __future__ import annotations

import pytest

from kernel_model.abi import MissingSymbols
from kernel_model.btron.abi import Btron
from kernel_model.btron.errors import BtronError, Error
from kernel_model.btron.symbols import LAYER_SYMBOLS
from kernel_model.memory import ByteMemory, Overlay
from tests.conformance.btron.subjects import KERNEL, SCRATCH, WINDOW, Guest, ModelSubject

CALLS = {
    "pmem": ("pmem_init", "pmem_alloc", "pmem_free", "pmem_share", "pmem_free_pages"),
    "kmem": ("kmem_init", "kmem_alloc", "kmem_free"),
    "pools": (
        *(f"mpl_{call}" for call in ("create", "delete", "get", "release", "refer")),
        *(f"mpf_{call}" for call in ("create", "delete", "get", "release", "refer")),
        "wait_cancel",
        "tasks_init",
    ),
    "regions": (
        *(f"space_{call}" for call in ("create", "clear", "delete", "directory", "check", "entry")),
        *(f"v{call}_reg" for call in ("cre", "del", "map", "unm", "shr", "prt", "get", "put", "sts")),
        *("region_grow", "region_map_shared"),
    ),
}


@pytest.fixture
def subject() -> ModelSubject:
    return ModelSubject()


def test_every_call_is_there(subject: ModelSubject) -> None:
    by_layer = {(each.layer, name) for name, each in subject.btron.functions.items()}
    assert by_layer == {(layer, name) for layer, names in CALLS.items() for name in names}


def test_signatures_agree_with_name_argument_count_and_result(subject: ModelSubject) -> None:
    kinds = {"ER": "int", "W": "int", "VP": "pointer", "UW": "u32", "void": "void"}
    for name, function in subject.btron.functions.items():
        head, _, parameters = function.signature.partition("(")
        count = 0 if parameters == "void)" else parameters.count(",") + 1
        assert (head.split()[-1], count) == (name, function.argument_count)
        assert function.result == kinds[head.split()[0]]


def test_results_and_arguments_are_unsigned_words(subject: ModelSubject) -> None:
    call = subject.btron.functions
    Guest(subject).boot()
    assert call["kmem_alloc"].call(0xFFFFFFFF) == 0
    assert call["kmem_free"].call(KERNEL + WINDOW, 8) == 0xFFFFFFDF
    assert call["mpl_get"].call(SCRATCH, 0xFFFFFFFC, 8, 0xFFFFFFFE) == 0xFFFFFFDF
    assert call["mpl_get"].call(SCRATCH, 0xFFFFFFFC, 8, 0xFFFFFFFF) == 0
    assert call["mpf_get"].call(SCRATCH, 0xFFFFFFFC, 0) == 0xFFFFFFDD
    assert call["pmem_free_pages"].call() == 54


def test_symbols_may_be_virtual_or_physical() -> None:
    subject = ModelSubject()
    symbols = {name: address & 0x7FFFFFFF for name, address in subject.symbols.items()}
    Guest(subject).boot()
    assert Btron(subject.memory, symbols, print).pmem.free_pages() == 64


@pytest.mark.parametrize("name", LAYER_SYMBOLS["pools"])
def test_each_symbol_is_needed(name: str) -> None:
    symbols = {each: address for each, address in ModelSubject().symbols.items() if each != name}
    with pytest.raises(MissingSymbols, match=f"^symbols not found: {name}$") as error:
        Btron(ByteMemory(0, 16), symbols, print)
    assert error.value.names == (name,)


@pytest.mark.parametrize("name", ["space_table", "page_directory"])
def test_kernels_that_are_older_than_address_spaces_have_the_other_layers(name: str) -> None:
    symbols = {each: address for each, address in ModelSubject().symbols.items() if each != name}
    btron = Btron(ByteMemory(0, 16), symbols, print)
    assert {each.layer for each in btron.functions.values()} == {"pmem", "kmem", "pools"}
    assert btron.spaces is None
    assert btron.locate(0x0030_0000) is None


def test_the_models_work_on_an_overlay_and_leave_the_base_alone(subject: ModelSubject) -> None:
    guest = Guest(subject)
    guest.boot()
    before = guest.state()
    overlay = Overlay(subject.memory)
    model = Btron(overlay, subject.symbols, print)
    packet = guest.packet(0, 0, 64)
    before = guest.state()
    assert model.functions["mpl_create"].call(1, packet) == 0
    assert model.functions["mpl_get"].call(guest.out(), 1, 8, 0) == 0
    assert guest.state() == before
    for address, value in overlay.changes().items():
        subject.memory.store_u8(address, value)
    assert guest.words(guest.block() - 8, 2) == (8, 0x4D504C01)


def test_errors_are_those_of_itron_3() -> None:
    numbers = "E_OK 0 E_SYS -5 E_NOMEM -10 E_NOSPT -17 E_RSFN -20 E_RSATR -24 E_PAR -33 E_ID -35 E_NOEXS -52 E_OBJ -63"
    more = "E_MACV -65 E_OACV -66 E_CTX -69 E_QOVR -73 E_DLT -81 E_TMOUT -85 E_RLWAI -86"
    words = f"{numbers} {more}".split()
    assert {error.name: error.value for error in Error} == dict(
        zip(words[::2], map(int, words[1::2]), strict=True)
    )


def test_an_error_names_its_code() -> None:
    with pytest.raises(BtronError, match=r"^E_PAR$") as error:
        ModelSubject().btron.pmem.free(0, 1)
    assert error.value.code is Error.E_PAR
