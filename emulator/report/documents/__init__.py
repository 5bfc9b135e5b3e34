"""Write values as JSON documents, for programs: a value comes in, plain dicts and lists leave.

Every document that a command prints is made here, with its version; the only ones that are not are those of `kmemu step`
(`emulator.debug`) and of CI services (`emulator.report.ci`). Nothing here makes lines for people: that is `emulator.report.text`.
"""

__all__ = ["campaign", "check", "discovery", "inspection", "page_directory", "run", "trace"]
