"""Give back what starting and updating have used: a box has little memory, and others need it."""

import ctypes
import gc


def give_back() -> None:
    """Collect garbage and return free pages to the system, where its C library can."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):  # glibc has it, musl has not
        library.malloc_trim(0)
