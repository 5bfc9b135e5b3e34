"""Judge a check: compare its report with a baseline and with limits."""
