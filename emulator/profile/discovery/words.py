"""Split names of functions into words, and know those that are about memory."""

from __future__ import annotations

import re
from enum import Enum
from functools import cache
from typing import Final


class Verb(Enum):
    """What a function's name says that it does."""

    ALLOC = "alloc"
    CALLOC = "calloc"
    REALLOC = "realloc"
    FREE = "free"
    SHARE = "share"
    RESET = "reset"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STRONG: Final = {
    Verb.ALLOC: "alloc malloc allocate zalloc memalign valloc pvalloc palloc allocator allocation",
    Verb.CALLOC: "calloc",
    Verb.REALLOC: "realloc reallocate reallocf resize",
    Verb.FREE: "free dealloc deallocate freed",
}
_WEAK: Final = {
    Verb.ALLOC: "get take new acquire obtain grab reserve create request pop",
    Verb.FREE: "put give release drop return delete destroy unref recycle push relinquish",
    Verb.SHARE: "share ref dup retain incref addref",
    Verb.RESET: "reset clear rewind",
}
_NOUNS: Final = _words(
    """
    mem memory kmem pmem vmem heap kheap page pages pg frame frames slab slub cache pool pools block blocks blk chunk chunks
    arena obj object buf buffer pmm vmm kmm physmem phys vm zone mpl mpf blf bytes region bump buddy sbrk brk cell cells item
    node stack operator aligned uvm kvm port mman
    """
)
_OTHERS: Final = _words(
    """
    chrdev pid tid uid irq irqs fd inode dev device vector id ids bit bits minor major tty proc process task thread channel
    gdt ldt slot file files dentry socket sock port_number lock mutex sem semaphore event timer interrupt vec name number
    handle disk driver entry config option value time ticks char key status state info current cpu root next line token desc
    descriptor ns mount super sb cred fs vfs ext fat tree hash table list queue cursor screen vga byte sector cluster dir path arg args env
    """
)
_ABOUT: Final = _words(
    """
    is has can count counts size sizes total used num nr stat stats statistics print dump show test tests check fail failed
    usage available avail percent freeze thaw unused remaining left amount error debug trace bench benchmark verify validate
    assert log report find lookup head tail first last top bottom map order hook handler callback main demo example limit max min overhead
    """
)
_QUESTIONS: Final = frozenset(("is", "has", "can", "was", "should", "test", "print", "dump", "show", "count"))
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_PREFIX_MAX: Final = 3
_SHORTEST: Final = 4
_TELLING: Final = 3  # letters of a word that is more than a prefix
_PREFIXES: Final = frozenset(("k", "v", "x", "z", "u", "g", "kz", "kv", "pv", "mm"))

_VERBS: Final = {word: verb for verb, words in _STRONG.items() for word in words.split()}
_WEAK_VERBS: Final = {word: verb for verb, words in _WEAK.items() for word in words.split()}
_KNOWN: Final = frozenset((*_VERBS, *_WEAK_VERBS, *_NOUNS, *_OTHERS, *_ABOUT))
_BEGINNINGS: Final = ("alloc", "free")
_ENDINGS: Final = ("realloc", "calloc", "malloc", "memalign", "zalloc", "alloc", "free")


@cache
def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in small letters: ``pvPortMalloc`` is pv, port, malloc; ``kfree`` is k, free."""
    words = [each.lower() for each in _WORD.findall(name.rpartition("::")[2].partition("(")[0])]
    return tuple(part for word in words for part in _parts(word))


def _parts(word: str) -> tuple[str, ...]:
    """Split a word in front of or after one that is known: ``freepage``, ``kmalloc``, ``kpages``, but not ``freeze`` or ``carefree``."""
    if word in _KNOWN or len(word) < _SHORTEST:
        return (word,)
    if word[0] in _PREFIXES and word[1:] in _NOUNS:
        return (word[0], word[1:])
    for ending in _ENDINGS:
        start = word.removesuffix(ending)
        if start != word and (len(start) <= _PREFIX_MAX or start in _KNOWN or start[1:] in _KNOWN):
            return (start, ending)
    for beginning in _BEGINNINGS:
        rest = word.removeprefix(beginning)
        if rest != word and rest in _KNOWN:
            return (beginning, rest)
    return (word,)


def verb_of(name: str) -> tuple[Verb | None, bool]:
    """Return what a name says that the function does, and whether it says so by itself, without a noun that is about memory."""
    words = words_of(name)
    if words[:1] and words[0] in _QUESTIONS:
        return None, False
    strong = [_VERBS[word] for word in words if word in _VERBS]
    if strong:
        return strong[-1], True
    weak = [_WEAK_VERBS[word] for word in words if word in _WEAK_VERBS]
    return (weak[-1] if weak else None), False


def is_about_memory(name: str) -> bool:
    """Return whether a word of a name is one for memory; a stack that something is pushed to is none, it holds the kernel's own objects."""
    words = set(words_of(name))
    nouns = _NOUNS - {"stack"} if words & {"push", "pop"} else _NOUNS
    return not nouns.isdisjoint(words)


def is_plain(name: str) -> bool:
    """Return whether a name is a verb of allocators and at most a letter or two: ``malloc``, ``kfree``."""
    words = words_of(name)
    return any(word in _VERBS for word in words) and all(
        word in _VERBS or word in _PREFIXES for word in words
    )


def other_things(name: str) -> tuple[str, ...]:
    """Return words of a name that are about other things than memory: ``pid``; or that only ask: ``count``."""
    return tuple(word for word in words_of(name) if word in _OTHERS or word in _ABOUT)


def stem_of(name: str) -> frozenset[str]:
    """Return the words of a name that are no verbs, pages like page: what it has in common with its partners."""
    words = [word for word in words_of(name) if word not in _VERBS and word not in _WEAK_VERBS]
    telling = [word for word in words if len(word) >= _TELLING] or words
    return frozenset(word.removesuffix("s") if word in _NOUNS else word for word in telling)
