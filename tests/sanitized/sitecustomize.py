"""Python's start under AddressSanitizer (`make sanitize`), which refuses libraries that prefer their own symbols: capstone asks for that where it can."""

import os

del os.RTLD_DEEPBIND
