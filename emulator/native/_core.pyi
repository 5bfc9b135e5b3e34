# The compiled core; its functions are described in core.h.
from typing import Any

ffi: Any
lib: Any
