"""Judges a check: in come its report, limits and a baseline, out comes a verdict with the reasons to fail.

`verdict` selects and judges findings, of which `suppressions` leave some out; `limits` and `comparison` make differences, from the command line's limits and from a
baseline with its `tolerances`. `baseline` is the value, `baseline_file` and `json_text` read and write it.
"""

__all__ = ["baseline", "baseline_file", "difference", "limits", "suppressions", "verdict"]
