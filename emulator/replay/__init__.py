"""Go through a run again: a machine that has not run comes in; the same machine at any event goes out, and which instruction wrote what.

`engine` keeps checkpoints and goes to events. `timeline` knows all calls of the run beforehand. The other modules each find
something: `bisect` between which events something breaks, `last_write` who wrote bytes last or first, `changes` which bytes
a call changed, `instructions` what a call executed.
"""

__all__ = [
    "bisect",
    "changes",
    "engine",
    "instructions",
    "last_write",
    "moment",
    "newest_write",
    "timeline",
    "travel",
]
