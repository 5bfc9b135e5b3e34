"""What a kernel's functions seem to do with memory: an image comes in; candidates, areas of them, and a profile as text go out."""

__all__ = ["areas", "candidates", "judgement", "observed", "similar", "text"]
