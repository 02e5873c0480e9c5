"""What makes loads into new memory comparable."""

import mmap

import numpy as np

PAGE = mmap.PAGESIZE


def make_free(total):
    """Takes and gives back as much memory as a load will want, just before its clock starts.

    Virtual machines hand memory that lies free back to their host within seconds, and to get it again costs more than
    everything else in a load. Who pays would depend on who ran before. Where the system keeps what is free, this
    changes nothing.
    """
    memory = np.empty(total, np.uint8)
    memory[::PAGE] = 1


def touch(arrays):
    """Looks at every page of what was loaded: one that was mapped and not read is read now, on the clock."""
    return sum(int(np.asarray(array).reshape(-1).view(np.uint8)[::PAGE].sum()) for array in arrays)
