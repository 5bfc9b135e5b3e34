"""Functions of a kernel that are and that are not allocators, by their names and prototypes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from emulator.loader.image import KernelImage
from emulator.profile.discovery.candidates import Sureness, find_candidates, likely_names
from emulator.profile.discovery.signatures import signature_of
from emulator.profile.discovery.words import Verb
from tests.helpers.c_kernel import compile_kernel

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.profile.discovery.candidates import Candidate

SOURCE = """
typedef unsigned int size_t;
struct cache { size_t object_size; };
struct page { int references; };
struct page *first;
char memory[4096];
#define IT __attribute__((noinline, noclone, used))
IT void *kmalloc(size_t size) { return memory + size; }
IT void kfree(void *p) { *(char *)p = 1; }
IT void *cache_get(struct cache *cache, int flags) { return memory + cache->object_size + flags; }
IT void cache_put(struct cache *cache, void *object) { cache->object_size += *(char *)object; }
IT struct page *alloc_pages(int flags, unsigned order) { return first + flags + order; }
IT void free_pages(struct page *page, unsigned order) { page->references -= order; }
IT int pool_take(void **block, unsigned size) { *block = memory + size; return 0; }
IT unsigned long frame_alloc(void) { return (unsigned long)memory >> 12; }
IT void frame_free(unsigned long frame) { memory[frame] = 1; }

IT int alloc_chrdev_region(unsigned *device, unsigned minor, const char *name) { *device = minor + *name; return 0; }
struct list_node { struct list_node *next; };
IT void frame_free_all(struct list_node *list) { memory[5] = list->next == list; }
IT int allocate_pid(void) { return memory[1]; }
IT unsigned free_count(void) { return memory[2]; }
IT int is_free(void *p) { return *(char *)p; }
IT size_t get_free_size(void) { return memory[3]; }
IT void freeze(void *task) { *(char *)task = 3; }
IT void alloc_tables(void) { memory[4] = 1; }
IT void drop_privileges(int level) { memory[5] = level; }
void _start(void) { for (;;); }
"""
ALLOCATORS = {
    "kmalloc": Verb.ALLOC,
    "kfree": Verb.FREE,
    "cache_get": Verb.ALLOC,
    "cache_put": Verb.FREE,
    "alloc_pages": Verb.ALLOC,
    "free_pages": Verb.FREE,
    "pool_take": Verb.ALLOC,
    "frame_alloc": Verb.ALLOC,
    "frame_free": Verb.FREE,
}
HANDLES = """
typedef void *tlsf_t;
typedef void *address_t;
tlsf_t create_tlsf(void *memory, unsigned size) { return memory + size; }
void *tlsf_malloc(tlsf_t tlsf, unsigned size) { return tlsf + size; }
void tlsf_free(tlsf_t tlsf, void *block) { *(void **)block = tlsf; }
void heap_free(address_t block) { *(char *)block = 0; }
void _start(void) { for (;;); }
"""


@pytest.fixture(scope="module", params=["-O0", "-O2"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    path = compile_kernel(tmp_path_factory.mktemp("candidates"), SOURCE, ["-g", request.param])
    return find_candidates(KernelImage.read(path))


def test_allocators_are_found_and_their_false_friends_are_not(found: list[Candidate]) -> None:
    assert {each.name: each.verb for each in found if each.sureness > Sureness.GUESS} == ALLOCATORS
    assert {each.name for each in found} == set(ALLOCATORS)


def test_the_best_come_first_and_say_why(found: list[Candidate]) -> None:
    assert found[0].name == "kmalloc"
    assert (found[0].sureness, found[0].reasons) == (
        Sureness.SURE,
        ("named kmalloc", "returns void *", "takes a size"),
    )
    points = [each.points for each in found]
    assert points == sorted(points, reverse=True)


def test_without_prototypes_names_have_to_do(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, SOURCE, ["-O1"]))
    assert {"kmalloc", "kfree", "frame_alloc", "alloc_pages"} <= set(likely_names(image))
    assert not {"allocate_pid", "is_free", "freeze", "get_free_size", "free_count"} & set(likely_names(image))
    assert all(each.sureness < Sureness.SURE for each in find_candidates(image))


def test_a_clone_is_named_as_its_origin(tmp_path: Path) -> None:
    source = """
    typedef unsigned int size_t;
    char memory[64];
    static __attribute__((noinline)) void *heap_alloc(size_t size, int flags) { return flags == 3 ? memory + size : 0; }
    void _start(void) { for (;;) *(char *)heap_alloc(memory[1], 3) = 1; }
    """
    (candidate,) = find_candidates(KernelImage.read(compile_kernel(tmp_path, source, ["-g", "-fipa-cp"])))
    assert (candidate.name, candidate.verb) == ("heap_alloc", Verb.ALLOC)
    assert candidate.symbol.startswith("heap_alloc")


def test_a_name_for_an_untyped_pointer_may_be_a_pool(tmp_path: Path) -> None:
    image = KernelImage.read(compile_kernel(tmp_path, HANDLES, ["-g", "-O0"]))
    found = {each.name: each for each in find_candidates(image)}
    assert {name: (each.verb, signature_of(image, each).parameters) for name, each in found.items()} == {
        "tlsf_malloc": (Verb.ALLOC, ("pool", "size")),
        "tlsf_free": (Verb.FREE, ("pool", "ptr")),
        "heap_free": (Verb.FREE, ("ptr",)),
    }


def test_all_that_a_plain_allocator_is_told_is_the_size(tmp_path: Path) -> None:
    source = """
    char memory[64];
    void *kmalloc(unsigned l) { return memory + l; }
    void *heap_alloc(unsigned l) { return memory + l + 1; }
    void *zalloc(unsigned l, unsigned m) { return memory + l + m; }
    void _start(void) { for (;;); }
    """
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-g"]))
    texts = {each.name: signature_of(image, each).text(each.name) for each in find_candidates(image)}
    assert texts == {
        "kmalloc": "kmalloc(size) -> ptr",
        "heap_alloc": "heap_alloc(l) -> ptr",
        "zalloc": "zalloc(l, m) -> ptr",
    }


def test_blocks_of_a_file_system_lie_on_a_disk(tmp_path: Path) -> None:
    source = """
    typedef struct { unsigned blocks; } ext2_fs_t;
    unsigned allocate_block(ext2_fs_t *fs) { return fs->blocks++; }
    void free_block(ext2_fs_t *fs, unsigned block) { fs->blocks -= block; }
    void _start(void) { for (;;); }
    """
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-g"]))
    found = {each.name: each for each in find_candidates(image)}
    assert {each.sureness for each in found.values()} == {Sureness.GUESS}
    assert signature_of(image, found["free_block"]).text("free_block") == "free_block(fs, ptr)"


def test_functions_of_cpp_are_named_as_people_write_them(tmp_path: Path) -> None:
    source = """
    char memory[64];
    struct Heap { void *alloc(unsigned size); void *alloc(); };
    void *Heap::alloc(unsigned size) { return memory + size; }
    void *Heap::alloc() { return memory; }
    extern "C" void _start() { for (;;); }
    """
    image = KernelImage.read(compile_kernel(tmp_path, source, ["-x", "c++"]))
    assert likely_names(image) == ["Heap::alloc"]


def test_placement_new_takes_no_memory(tmp_path: Path) -> None:
    source = """
    char memory[4096];
    void *operator new[](unsigned size) { return memory + size; }
    void *operator new[](unsigned, void *place) { return place; }
    void operator delete[](void *block) { *(char *)block = 0; }
    void operator delete[](void *, void *) { }
    extern "C" void _start() { for (;;); }
    """
    options = ["-g", "-O0", "-x", "c++", "-w", "-fno-exceptions"]
    found = find_candidates(KernelImage.read(compile_kernel(tmp_path, source, options)))
    assert {each.name: each.symbol for each in found} == {
        "operator new[]": "_Znaj",
        "operator delete[]": "_ZdaPv",
    }
