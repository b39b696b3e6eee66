"""The memory of a process that is to run for weeks."""

import ctypes
import gc

GARBAGE_THRESHOLDS = (20_000, 20, 20)
"""Almost nothing here refers to itself, so that what is counted goes by itself. With Python's own 700 the collector
took a twentieth of a claim."""


def settle_in() -> None:
    """Give back what only the start needed, and spare the collector what lives as long as the process.

    To be called once, by a process of its own, when it is ready: 10 MB of what was read in until then is garbage that
    libc would keep, and every full collection would walk through all that the modules have made.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it; others keep less
    if give_back is not None:
        give_back(0)
