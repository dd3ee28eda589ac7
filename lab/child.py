"""Child processes that do not outlive the lab."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable


def dies_with_parent() -> Callable[[], None] | None:
    """Run in the child before the server: the kernel kills it when its parent ends, however that ends."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)  # the parent ended before the kernel was asked

    return ask_the_kernel
