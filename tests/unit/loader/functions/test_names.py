from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from emulator.errors import BadImage
from emulator.loader.functions.names import NamedFunction, find_functions, plain_name
from emulator.loader.image import KernelImage
from tests.unit.loader import elf_builder as eb
from tests.unit.loader.elf_builder import BASE, Elf, Sym, build_elf

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def image(*symbols: Sym) -> KernelImage:
    return KernelImage(build_elf(Elf(symbols=list(symbols))), "k.elf")


def function(name: str, offset: int, bind: int = eb.GLOBAL) -> Sym:
    return Sym(name, BASE + offset, 4, eb.FUNC, bind)


def source(name: str) -> Sym:
    return Sym(name, 0, 0, eb.FILE, eb.LOCAL, eb.ABSOLUTE)


def static(name: str, offset: int) -> Sym:
    return function(name, offset, eb.LOCAL)


def offsets(kernel: KernelImage, pattern: str) -> list[int]:
    return [each.address - BASE for each in find_functions(kernel, pattern)]


class TestPlainNames:
    @pytest.mark.parametrize(
        "suffix",
        [
            *(".constprop.0", ".isra.0", ".part.0", ".lto_priv.0", ".localalias", ".localalias.3"),
            *(".isra.0.constprop.1", ".part.0.isra.0", ".constprop.0.lto_priv.12", ".cold", ".isra.0.cold"),
            *(".cold.1", ".llvm.8642137", ".__uniq.12345.llvm.678", ".specialized.1", ".argelim", ".7"),
        ],
    )
    def test_leave_out_what_compilers_append(self, suffix: str) -> None:
        assert plain_name(f"km_alloc{suffix}") == "km_alloc"

    def test_are_demangled(self) -> None:
        assert plain_name("_ZN2mm5Arena5allocEj.isra.0") == "mm::Arena::alloc(unsigned int)"
        assert plain_name("_ZN4heap4take17h0123456789abcdefE.llvm.123") == "heap::take"

    @pytest.mark.parametrize("name", ["km_alloc", "heap.alloc", "heap.constprop", "isra.0x", "x.part.", ""])
    def test_keep_other_names(self, name: str) -> None:
        assert plain_name(name) == name


class TestCopies:
    KERNEL = image(
        static("take.constprop.0", 32),
        static("take.isra.0", 24),
        static("take.part.0", 16),
        static("take.isra.0.cold", 40),
        static("take.cold", 44),
        function("take", 0),
        function("taken", 48),
    )

    def test_a_plain_name_means_all_of_them_but_what_seldom_runs(self) -> None:
        assert find_functions(self.KERNEL, "take") == (
            NamedFunction(BASE, BASE + 4, "take", "take", "", is_piece=False),
            NamedFunction(BASE + 16, BASE + 20, "take.part.0", "take", "", is_piece=True),
            NamedFunction(BASE + 24, BASE + 28, "take.isra.0", "take", "", is_piece=False),
            NamedFunction(BASE + 32, BASE + 36, "take.constprop.0", "take", "", is_piece=False),
        )

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("take.isra.0", [24]),
            ("take.isra.1", []),
            ("take.cold", []),
            ("take.isra.0.cold", []),
            ("tak", []),
            ("take*", [0, 16, 24, 32, 48]),
            ("?aken", [48]),
            ("take?", [48]),
            ("take.*", []),
            ("[t]ake", []),
        ],
    )
    def test_others_mean_what_they_say(self, pattern: str, found: list[int]) -> None:
        assert offsets(self.KERNEL, pattern) == found


class TestFiles:
    KERNEL = image(
        source("mm/heap.c"),
        static("take", 0),
        source("pool.c"),
        static("take", 8),
        static("take.constprop.0", 16),
        source("boot.o"),
        static("take", 24),
        source("<artificial>"),
        static("take.lto_priv.0", 32),
        source(""),
        static("take", 40),
        function("give", 48),
    )

    def test_local_symbols_are_of_the_file_that_stands_before_them(self) -> None:
        assert [each.file for each in find_functions(self.KERNEL, "take")] == [
            "heap.c",
            "pool.c",
            "pool.c",
            "",
            "",
            "",
        ]
        assert [each.file for each in find_functions(self.KERNEL, "give")] == [""]

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("heap.c:take", [0]),
            ("pool.c:take", [8, 16]),
            ("pool.c:take.constprop.0", [16]),
            ("pool.c:t*", [8, 16]),
            ("other.c:take", []),
            ("boot.o:take", []),
            ("heap.c::take", []),
        ],
    )
    def test_a_file_chooses(self, pattern: str, found: list[int]) -> None:
        assert offsets(self.KERNEL, pattern) == found


class TestLabels:
    KERNEL = image(
        Sym("kmalloc", BASE),  # as assemblers write functions: no type, no size
        Sym("kmalloc.loop", BASE + 4),
        Sym("kmem", BASE + 8, 4, eb.OBJECT),
        Sym("kmem_size", BASE + 64, section=eb.ABSOLUTE),
        function("kmark", 16),
        Sym("kmark_inside", BASE + 18),
        Sym("kalias", BASE + 16, 4, eb.FUNC, eb.LOCAL),
        Sym("kmark.isra.0", BASE + 12, 4, eb.FUNC, eb.LOCAL),
    )

    def test_are_functions_without_an_end(self) -> None:
        found = NamedFunction(BASE, BASE, "kmalloc", "kmalloc", "", is_piece=False)
        assert find_functions(self.KERNEL, "kmalloc") == (found,)
        assert offsets(self.KERNEL, "kmalloc.loop") == [4]
        assert offsets(self.KERNEL, "kmark_inside") == [18]

    @pytest.mark.parametrize("pattern", ["kmem", "kmem_size", "kmem*", "", "*.loop", "*inside"])
    def test_data_and_labels_within_functions_are_none(self, pattern: str) -> None:
        assert find_functions(self.KERNEL, pattern) == ()

    def test_of_names_for_the_same_code_the_one_that_was_asked_for(self) -> None:
        assert [each.symbol for each in find_functions(self.KERNEL, "kalias")] == ["kalias"]
        assert [each.symbol for each in find_functions(self.KERNEL, "km*k")] == ["kmark.isra.0", "kmark"]
        assert [each.symbol for each in find_functions(self.KERNEL, "k*")] == [
            "kmalloc",
            "kmark.isra.0",
            "kmark",
        ]

    def test_a_damaged_table_is_an_error(self) -> None:
        data = eb.patch_section_header(build_elf(Elf(symbols=[function("a", 0)])), 2, eb.SH_SIZE, 31)
        with pytest.raises(BadImage, match="is not a multiple of 16"):
            find_functions(KernelImage(data, "k.elf"), "a")


class TestCpp:
    KERNEL = image(
        function("_Znwj", 0),
        function("_Znaj", 4),
        function("_ZdlPv", 8),
        function("_ZdlPvj", 12),
        function("_ZnwjPv", 16),
        function("_ZN2mm5Arena5allocEj", 20),
        static("_ZN2mm5Arena5allocEj.constprop.0", 24),
        function("_ZN2mm5Arena5allocEjj", 28),
        static("_ZN2mm5Arena5allocEj.cold", 32),
        function("_ZN2mm4takeIPcEEvT_", 36),
        function("_ZN2mm4takeISt4pairIiS1_IiiEEEEvT_", 40),
    )

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("_Znwj", [0]),
            ("operator new(unsigned int)", [0]),
            ("operator new", [0]),
            ("operator new(unsigned int, void*)", [16]),
            ("operator new*", [0, 4, 16]),
            ("operator delete(void*)", [8]),
            ("operator delete(void *, unsigned int)", [12]),
            ("operator delete", [8, 12]),
            ("operator delete[](void*)", []),
            ("_ZN2mm5Arena5allocEj", [20, 24]),
            ("_ZN2mm5Arena5allocEj.constprop.0", [24]),
            ("mm::Arena::alloc(unsigned int)", [20, 24]),
            ("mm::Arena::alloc", [20, 24, 28]),
            ("mm::*::alloc", [20, 24, 28]),
            ("mm::take<char*>", [36]),
            ("void mm::take<char*>(char*)", [36]),
            ("Arena::alloc", []),
        ],
    )
    def test_functions_are_found_by_symbol_and_by_name(self, pattern: str, found: list[int]) -> None:
        assert offsets(self.KERNEL, pattern) == found

    def test_names_have_parameters(self) -> None:
        assert [each.name for each in find_functions(self.KERNEL, "mm::Arena::alloc")] == [
            "mm::Arena::alloc(unsigned int)",
            "mm::Arena::alloc(unsigned int)",
            "mm::Arena::alloc(unsigned int, unsigned int)",
        ]

    def test_a_file_chooses_among_qualified_names(self) -> None:
        symbols = [source("a.cpp"), static("_ZN2mm4takeEj", 0), source("b.cpp"), static("_ZN2mm4takeEj", 8)]
        kernel = image(*symbols)
        assert offsets(kernel, "mm::take") == [0, 8]
        assert offsets(kernel, "b.cpp:mm::take") == [8]
        assert offsets(kernel, "b.cpp:mm::take(unsigned int)") == [8]


class TestRust:
    KERNEL = image(
        function("__rust_alloc", 0),
        function("_RNvCs8zqw_7___rustc14___rust_dealloc", 4),
        function("_ZN4heap4take17h0123456789abcdefE", 8),
        function("_ZN4heap4take17hfedcba9876543210E", 12),
        static("_ZN4heap4give17h0123456789abcdefE.llvm.1234567", 16),
        function("_RNvCskwGfYPst2Cb_4pool4take", 20),
    )

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("__rust_alloc", [0]),
            ("__rust_dealloc", [4]),
            ("__rustc::__rust_dealloc", [4]),
            ("heap::take", [8, 12]),
            ("_ZN4heap4take17hfedcba9876543210E", [12]),
            ("_ZN4heap4take17h0000000000000000E", [8, 12]),
            ("heap::give", [16]),
            ("pool::take", [20]),
            ("_RNvCs1_4pool4take", [20]),
            ("*::take", [8, 12, 20]),
        ],
    )
    def test_functions_are_found_in_each_build(self, pattern: str, found: list[int]) -> None:
        assert offsets(self.KERNEL, pattern) == found


class TestZig:
    KERNEL = image(function("heap.Allocator.alloc", 0), function("heap.take__anon_1234", 4))

    def test_names_are_symbols(self) -> None:
        assert offsets(self.KERNEL, "heap.Allocator.alloc") == [0]
        assert offsets(self.KERNEL, "heap.*") == [0, 4]


HEAP = """
__attribute__((noinline)) static int take(int size, int kind) { return kernel_word += size + kind; }
int heap_run(int size) { return take(size, 4) + take(size + 1, 4); }
"""
POOL = """
static int take(int size) { return (kernel_word -= size); }
int (*volatile pool_take)(int) = take;
"""
MAIN = "int kernel_word; void _start(void) { }"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("names")
    for name, text in (("heap", HEAP), ("pool", POOL), ("main", MAIN)):
        declaration = "" if name == "main" else "extern int kernel_word;\n"
        (directory / f"{name}.c").write_text(declaration + text)
    return directory


def compiled(sources: Path, options: Iterable[str]) -> KernelImage:
    output = sources / "kernel.elf"
    flags = ("-m32", "-ffreestanding", "-nostdlib", "-static", "-fno-pie", "-no-pie", "-Wl,--build-id=none")
    files = ("main.c", "heap.c", "pool.c")
    command = ["gcc", *flags, *options, "-o", str(output), *files]
    subprocess.run(command, cwd=sources, check=True)
    return KernelImage.read(output)


class TestCompiledByGcc:
    @pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O2", "-g"), ("-Os", "-g")])
    def test_functions_of_one_name_in_two_files(self, sources: Path, options: tuple[str, ...]) -> None:
        kernel = compiled(sources, options)
        assert sorted(each.file for each in find_functions(kernel, "take")) == ["heap.c", "pool.c"]
        (found,) = find_functions(kernel, "heap.c:take")
        assert found.symbol == ("take" if options == ("-O0",) else "take.constprop.0")
        assert found.name == "take"

    def test_a_global_function_has_the_file_that_its_source_lines_say(self, sources: Path) -> None:
        (found,) = find_functions(compiled(sources, ["-O2", "-g"]), "heap.c:heap_run")
        assert found.file == "heap.c"
        assert find_functions(compiled(sources, ["-O2"]), "heap.c:heap_run") == ()

    def test_after_optimisation_at_link_time_source_lines_tell_files_apart(self, sources: Path) -> None:
        options = ("-O2", "-flto", "-g", "-Wl,-u,pool_take,-u,heap_run")
        kernel = compiled(sources, options)
        assert {each.file for each in find_functions(kernel, "take")} == {"heap.c", "pool.c"}

    def test_a_function_is_of_the_file_that_declares_it_whatever_was_inlined_into_it(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "common.h").write_text(
            "static inline __attribute__((always_inline)) void *bump(unsigned *top, unsigned size) { return (void *)(*top += size); }"
        )
        for name in ("heap", "pool"):
            take = "static __attribute__((noinline)) void *take(unsigned size) { return bump(&top, size); }"
            text = f'#include "common.h"\nstatic unsigned top;\n{take}\nvoid *{name}(void) {{ return take(top + 8); }}\n'
            (tmp_path / f"{name}.c").write_text(text)
        (tmp_path / "main.c").write_text(
            "void *heap(void), *pool(void); void _start(void) { for (;;) { heap(); pool(); } }"
        )
        kernel = compiled(tmp_path, ("-O2", "-flto", "-g"))
        assert {each.file for each in find_functions(kernel, "take")} == {"heap.c", "pool.c"}
