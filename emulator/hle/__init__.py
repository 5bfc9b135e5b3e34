"""High-level emulation: the models of `kernel_model` bound to functions of the guest."""

__all__ = ["inspection", "kernels", "layers", "lockstep"]
