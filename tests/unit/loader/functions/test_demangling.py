from __future__ import annotations

import pytest

from emulator.loader.functions.demangling import demangled, without_parameters

CPP = {
    "_Znwj": "operator new(unsigned int)",
    "_ZdaPvj": "operator delete[](void*, unsigned int)",
    "_ZnwjRKSt9nothrow_t": "operator new(unsigned int, std::nothrow_t const&)",
    "_ZN2mm5Arena5allocEj": "mm::Arena::alloc(unsigned int)",
    "_ZN2mm4PoolIN3net6PacketEE3getEv": "mm::Pool<net::Packet>::get()",
    "_ZN12_GLOBAL__N_14takeEv": "(anonymous namespace)::take()",
    "_ZL4takej": "take(unsigned int)",
    "_ZN3fooC1Ev": "foo::foo()",
    "_ZN3fooC2Ev": "foo::foo()",
    "_ZTV3foo": "vtable for foo",
}
RUST = {
    "_ZN4core3fmt9Formatter3pad17h9b2b3a0e5b4d1b31E": "core::fmt::Formatter::pad",
    "_ZN63_$LT$alloc..alloc..Global$u20$as$u20$core..alloc..Allocator$GT$8allocate17h0123456789abcdefE": (
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate"
    ),
    "_ZN4core3ptr42drop_in_place$LT$alloc..string..String$GT$17h00deadbeef00cafeE": (
        "core::ptr::drop_in_place<alloc::string::String>"
    ),
    "_ZN4heap4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE": "heap::main::{{closure}}",
    "_ZN45_$LT$$RF$T$C$$u20$$LP$$RP$$GT$$BP$$SP$$QQ$..x4take17h0123456789abcdefE": "<&T, ()>*@$QQ$::x::take",
    "_RNvCskwGfYPst2Cb_4heap4take": "heap::take",
    "_RNvXs_NtCs9ltgdHTiPiY_5alloc5allocNtB4_6GlobalNtNtCsd4VYFwevHkG_4core5alloc9Allocator8allocate": (
        "<alloc::alloc::Global as core::alloc::Allocator>::allocate"
    ),
    "_RINvNtC3std3mem8align_ofdE": "std::mem::align_of::<f64>",
    "_RNCNvCs1_4heap4main0B3_": "heap::main::{closure#0}",
    "_RNvCs8zqw_7___rustc12___rust_alloc": "__rust_alloc",
    "_RNvCs8zqw_7___rustc11___rdl_alloc": "__rdl_alloc",
}


@pytest.mark.parametrize(("symbol", "name"), (CPP | RUST).items())
def test_names_as_in_the_source(symbol: str, name: str) -> None:
    assert demangled(symbol) == name


@pytest.mark.parametrize(
    "symbol",
    ["kmalloc", "_Z", "_Zebra", "_ZN2mm", "_R", "_Rust_alloc", "heap.Allocator.alloc", "", "_Z" + "P" * 5000],
)
def test_other_symbols_are_names_already(symbol: str) -> None:
    assert demangled(symbol) == symbol


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("operator new(unsigned int)", "operator new"),
        ("operator delete[](void*, unsigned int)", "operator delete[]"),
        ("mm::Arena::alloc(unsigned int) const", "mm::Arena::alloc"),
        ("mm::Arena::get() const &", "mm::Arena::get"),
        ("mm::make[abi:v1](int)", "mm::make[abi:v1]"),
        ("void mm::take<int>(int)", "mm::take<int>"),
        ("std::pair<int, char> mm::pair<int, char>(int, char)", "mm::pair<int, char>"),
        ("bool foo::operator<<int>(int)", "foo::operator<<int>"),
        ("foo::operator unsigned int() const", "foo::operator unsigned int"),
        ("(anonymous namespace)::take(void (*)(int))", "(anonymous namespace)::take"),
        ("a::b()::'lambda'(int)::operator()(int) const", "a::b()::'lambda'(int)::operator()"),
        ("kmalloc", "kmalloc"),
        ("heap::main::{closure#0}", "heap::main::{closure#0}"),
        ("<(u8, fn(u8)) as heap::Take>::take", "<(u8, fn(u8)) as heap::Take>::take"),
        ("a)", "a)"),
        ("", ""),
    ],
)
def test_names_without_parameters(name: str, short: str) -> None:
    assert without_parameters(name) == short
