"""Blocks that are live at the end of a run: in come a trace and the machine's memory, out come leaks as findings.

`live_blocks` says which blocks there are, `page_entries` how page tables name them, `guest_words` reads memory as words,
`reachability` scans these for pointers to the blocks, and `leaks` makes findings of what it found. `space_rules` finds pages that
are mapped and must not be.
"""

__all__ = ["guest_words", "leaks", "space_rules"]
