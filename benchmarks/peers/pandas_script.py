"""What one writes with pandas to sum up a trace; runs as a process of its own. Usage: pandas_script.py TRACE.kmt."""

from __future__ import annotations

import sys

import pandas as pd

calls = pd.read_feather(sys.argv[1])
print(calls.groupby("function", observed=True).agg({"call": "count", "returned": "sum", "arg0": "sum"}))
