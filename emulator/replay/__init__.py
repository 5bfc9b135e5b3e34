"""Go through a run again: a machine that has not run comes in; the same machine at any moment goes out, and which instruction wrote what.

`travel` goes to any moment, forwards and backwards, and `newest_write` finds there who wrote bytes last, `instructions_back` counts the
instructions before: that is what debuggers are made of. `engine` runs
a kernel once more, to events; `bisect` finds between which of them something breaks, `word` which write changed bytes, `instructions` what a call
executed. `changes` compares memory.
"""

__all__ = [
    "bisect",
    "changes",
    "engine",
    "instructions",
    "instructions_back",
    "moment",
    "newest_write",
    "travel",
    "word",
]
