"""The Debug Adapter Protocol: editors start, stop and look into a kernel, forwards and backwards."""

__all__ = ["server"]
