"""BTRON/386: pages, bytes, and ITRON memory pools with tasks that wait for them."""
