from __future__ import annotations

import pytest

from emulator.profile.discovery.words import Verb, is_about_memory, other_things, stem_of, verb_of, words_of


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kmalloc", ("k", "malloc")),
        ("pvPortMalloc", ("pv", "port", "malloc")),
        ("kmem_cache_alloc", ("kmem", "cache", "alloc")),
        ("vm_page_alloc", ("vm", "page", "alloc")),
        ("freepage", ("free", "page")),
        ("freeze", ("freeze",)),
        ("carefree", ("carefree",)),
        ("mm::Arena::allocBlock(unsigned int)", ("alloc", "block")),
        ("tlsf_memalign", ("tlsf", "memalign")),
        ("krealloc", ("k", "realloc")),
        ("pmm_alloc_kpages", ("pmm", "alloc", "k", "pages")),
        ("", ()),
    ],
)
def test_names_are_split_where_their_words_end(name: str, words: tuple[str, ...]) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "verb", "says_it_itself"),
    [
        ("kalloc", Verb.ALLOC, True),
        ("kcalloc", Verb.CALLOC, True),
        ("krealloc", Verb.REALLOC, True),
        ("heap_dealloc", Verb.FREE, True),
        ("pool_take", Verb.ALLOC, False),
        ("cache_put", Verb.FREE, False),
        ("page_share", Verb.SHARE, False),
        ("arena_reset", Verb.RESET, False),
        ("schedule", None, False),
    ],
)
def test_verbs(name: str, verb: Verb | None, says_it_itself: bool) -> None:
    assert verb_of(name) == (verb, says_it_itself)


def test_partners_have_their_stems_in_common() -> None:
    assert stem_of("alloc_pages") == stem_of("free_page")
    assert stem_of("km_alloc") == stem_of("km_free")
    assert stem_of("kmalloc") == stem_of("kfree")
    assert stem_of("pool_take") != stem_of("cache_put")


def test_other_things_than_memory_are_known() -> None:
    assert other_things("alloc_chrdev_region") == ("chrdev",)
    assert other_things("is_free") == ("is",)
    assert other_things("ext2_alloc_block") == ("ext",)
    assert other_things("kmalloc") == ()
    assert is_about_memory("pool_take")
    assert not is_about_memory("take_turns")


def test_a_stack_that_is_pushed_to_is_no_memory() -> None:
    assert not is_about_memory("stack_push")
    assert is_about_memory("frame_stack_pop")
    assert is_about_memory("alloc_stack")
    assert other_things("get_stack_bottom") == ("bottom",)
