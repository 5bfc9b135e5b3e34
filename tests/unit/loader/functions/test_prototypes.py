"""Prototypes, fields and variables against what the source says, for compilers and versions of DWARF."""

from __future__ import annotations

import subprocess
from random import Random
from typing import TYPE_CHECKING

import pytest

from emulator.loader.functions.prototypes import (
    Declarations,
    Field,
    Parameter,
    Variable,
    all_prototypes,
    field_of,
    field_of_result,
    field_of_variable,
    prototype,
    structure_size,
    variable,
)
from emulator.loader.image import KernelImage
from tests.helpers.guest import assemble

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """
typedef unsigned int size_t;
struct page { unsigned flags; struct page *next; };
struct list { struct list *next, *previous; };
typedef struct cache {
    const char *name;
    struct { short order; unsigned object_size; };
    struct list partial;
} cache_t;
struct page mem_map[16] __attribute__((used));
struct page *first_page __attribute__((used)) = mem_map;
volatile unsigned ticks;
void *cache_get(cache_t *const cache, size_t flags) { return (char *)cache + cache->object_size + flags; }
const struct page *next_page(const struct page *page) { ++ticks; return page->next; }
static void __attribute__((noinline)) drop(void **where, int (*compare)(const void *, size_t)) { *where = (void *)compare; ++ticks; }
static size_t __attribute__((noinline)) take(size_t size, size_t align) { return size + ticks * align; }
void _start(void) { void *it = cache_get(0, 1); drop(&it, 0); (void)next_page(first_page); ticks = take(ticks, 16) + take(5, 16); }
"""
PROTOTYPES = {
    "cache_get": "void * (cache_t *const cache, size_t flags)",
    "next_page": "const struct page * (const struct page * page)",
    "drop": "void (void ** where, int (*)(const void *, size_t) compare)",
    "take": "size_t (size_t size, size_t align)",
    "_start": "void ()",
}
COMPILERS = {
    "gcc 2": ("gcc", "-gdwarf-2", "-gstrict-dwarf"),
    "gcc 3": ("gcc", "-gdwarf-3"),
    "gcc 4": ("gcc", "-gdwarf-4", "-O1"),
    "gcc 5": ("gcc", "-gdwarf-5", "-O2"),
    "gcc 5 compressed": ("gcc", "-gdwarf-5", "-gz"),
    "gcc 5 with functions of their own": ("gcc", "-gdwarf-5", "-ffunction-sections"),
    "gcc 5 at link time": ("gcc", "-gdwarf-5", "-flto", "-O2"),
    "clang 4": ("clang", "-gdwarf-4", "-O2"),
    "clang 5": ("clang", "-gdwarf-5"),
    "gcc split": ("gcc", "-gdwarf-5", "-gsplit-dwarf"),
    "clang split": ("clang", "-gdwarf-5", "-gsplit-dwarf", "-O2"),
}
FLAGS = "-m32 -ffreestanding -fno-pic -no-pie -nostdlib -static -fno-builtin -Wl,--build-id=none"


def compiled(folder: Path, compiler: tuple[str, ...], source: str = SOURCE, name: str = "k.c") -> KernelImage:
    (folder / name).write_text(source)
    command = [compiler[0], *FLAGS.split(), *compiler[1:], "-o", "k.elf", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return KernelImage.read(folder / "k.elf")


@pytest.fixture(scope="module", params=list(COMPILERS.values()), ids=list(COMPILERS))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    return compiled(tmp_path_factory.mktemp("prototypes"), request.param)


def text(image: KernelImage, address: int) -> str:
    found = prototype(image, address)
    assert found is not None
    return f"{found.result} ({', '.join(f'{each.type} {each.name}' for each in found.parameters)})"


def address_of(image: KernelImage, name: str) -> int:
    """The address of a function or of its clone."""
    return next(each.address for each in image.symbols.values() if each.name.split(".")[0] == name)


def test_prototypes_are_those_of_the_source(image: KernelImage) -> None:
    there = {
        each.name.split(".")[0]: each.address for each in image.symbols.values() if each.kind == "function"
    }
    found = {name: text(image, there[name]) for name in PROTOTYPES if name in there}
    assert found == {name: PROTOTYPES[name] for name in found}
    assert "_start" in found
    assert set(all_prototypes(image)) == {there[name] for name in found}


def test_typedefs_are_kept_and_can_be_seen_through(image: KernelImage) -> None:
    found = [each for each in all_prototypes(image).values() if each.name == "take"]
    assert [each.parameters[0] for each in found] == [Parameter("size", "size_t", "unsigned int")] * len(
        found
    )
    assert [(each.is_external, each.file) for each in found] == [(False, "k.c")] * len(found)


def test_variables_say_what_lies_in_them(image: KernelImage) -> None:
    assert variable(image, "mem_map") == Variable("struct page[]", 128, is_pointer=False, element_size=8)
    assert variable(image, "first_page") == Variable("struct page *", 4, is_pointer=True, element_size=8)
    assert variable(image, "ticks") == Variable("volatile unsigned int", 4, is_pointer=False, element_size=0)
    assert variable(image, "nowhere") is None


@pytest.mark.parametrize(
    "compiler",
    [
        COMPILERS["gcc 2"],
        COMPILERS["gcc 5"],
        ("gcc", "-gdwarf-5", "-flto", "-fno-toplevel-reorder"),
        COMPILERS["clang 5"],
    ],
)
def test_fields_are_those_that_a_parameter_leads_to(tmp_path: Path, compiler: tuple[str, ...]) -> None:
    image = compiled(tmp_path, compiler)
    cache_get, next_page = address_of(image, "cache_get"), address_of(image, "next_page")
    assert field_of(image, cache_get, 0, "object_size") == Field(8, 4)
    assert field_of(image, cache_get, 0, "order") == Field(4, 2)
    assert field_of(image, cache_get, 0, "partial.previous") == Field(16, 4)
    assert field_of(image, next_page, 0, "next") == Field(4, 4)
    assert field_of(image, cache_get, 0, "colour") is None
    assert field_of(image, cache_get, 0, "name.length") is None, "what a pointer points to is no part"
    assert field_of(image, cache_get, 1, "flags") is None, "no pointer"
    assert field_of(image, cache_get, 2, "flags") is None, "no such parameter"
    assert field_of(image, cache_get + 1, 0, "order") is None, "no function begins here"
    assert field_of_result(image, next_page, "next") == Field(4, 4)
    assert field_of_result(image, cache_get, "next") is None, "void has no fields"
    assert field_of_variable(image, "first_page", "next") == Field(4, 4)
    assert field_of_variable(image, "mem_map", "next") is None, "an array"
    assert field_of_variable(image, "nowhere", "next") is None
    assert structure_size(image, cache_get, "cache") == structure_size(image, cache_get, "cache_t") == 20
    assert structure_size(image, cache_get, "slab") is None
    assert structure_size(image, cache_get + 1, "cache") is None, "no function begins here"
    declared = image.declarations
    assert declared.has_field(cache_get, "cache", "object_size")
    assert declared.has_field(cache_get, "cache_t", "partial.next")
    assert not declared.has_field(cache_get, "cache", "objects")
    assert not declared.has_field(cache_get, "slab", "object_size")


def test_a_clone_has_the_prototype_of_its_origin(tmp_path: Path) -> None:
    image = compiled(tmp_path, ("gcc", "-g", "-O2"))
    clones = [name for name in image.symbols if name.startswith("take.constprop")]
    assert clones, "the compiler made none"
    assert text(image, image.symbols[clones[0]].address) == PROTOTYPES["take"]


@pytest.mark.parametrize("compiler", [("g++", "-g"), ("g++", "-g", "-O2"), ("clang++", "-g", "-O1")])
def test_members_of_classes_have_this(tmp_path: Path, compiler: tuple[str, ...]) -> None:
    source = """
    namespace mm {
    class Arena {
      public:
        void *alloc(unsigned size);
        static void drop(Arena &arena, void *block);
        char *next;
    };
    void *Arena::alloc(unsigned size) { next += size; return next; }
    void Arena::drop(Arena &arena, void *block) { arena.next = static_cast<char *>(block); }
    }
    extern "C" void _start() { }
    """
    image = compiled(tmp_path, compiler, source, "k.cpp")
    alloc = prototype(image, image.symbols["_ZN2mm5Arena5allocEj"].address)
    assert alloc is not None
    assert (alloc.name, alloc.result, alloc.is_external) == ("alloc", "void *", True)
    assert [(each.name, each.type, each.plain_type) for each in alloc.parameters] == [
        ("this", "Arena *const" if alloc.parameters[0].type.endswith("const") else "Arena *", "Arena *"),
        ("size", "unsigned int", "unsigned int"),
    ]
    assert (
        text(image, image.symbols["_ZN2mm5Arena4dropERS0_Pv"].address) == "void (Arena & arena, void * block)"
    )


def test_assembly_and_files_without_debug_information_have_no_prototypes(tmp_path: Path) -> None:
    source = ".globl _start\n.type _start, @function\n_start: hlt\n.size _start, . - _start\n"
    image = compiled(tmp_path, ("gcc", "-g"), source, "k.s")
    assert all_prototypes(image) == {}
    plain = assemble("hlt")
    assert (all_prototypes(plain), prototype(plain, plain.entry), variable(plain, "_start")) == (
        {},
        None,
        None,
    )


@pytest.mark.parametrize("compiler", [COMPILERS["gcc 4"], COMPILERS["gcc 5"], COMPILERS["clang 5"]])
def test_damaged_debug_information_is_no_error(tmp_path: Path, compiler: tuple[str, ...]) -> None:
    image = compiled(tmp_path, compiler)
    addresses = [each.address for each in image.symbols.values() if each.kind == "function"]
    assert image.headers is not None
    sections = [each for each in image.headers.sections() if each.name.startswith(".debug_")]
    places = [place for each in sections for place in range(each.offset, each.offset + each.size)]
    random = Random(13)
    complete = len(Declarations(image.units).all_prototypes())
    counts = []
    for _ in range(60):
        damaged = bytearray(image.data)
        for place in random.sample(places, 12):
            damaged[place] = random.randrange(256)
        declared = Declarations(KernelImage(bytes(damaged), "k.elf").units)
        counts.append(len(declared.all_prototypes()))
        for address in addresses:
            declared.prototype(address)
            declared.field_of(address, 0, "object_size")
        declared.variable(image.symbols["mem_map"].address)
    assert min(counts) < complete
