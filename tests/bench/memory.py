"""The machine's memory, as far as the bench has to know of it."""
import os

from processes import BenchError

MIB = 1 << 20
TOUCHED_BYTES_MAX = 4 << 30  # more than the page cache that `large` fills


def available_bytes():
    with open("/proc/meminfo") as f:
        for line in f:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise BenchError("no MemAvailable")


def touch_memory(path):
    """Fills page cache with a file at `path` and frees it again. A virtual machine may get its memory from the host only when
    it is first used, at milliseconds a MiB; whoever writes the first files of a run would pay for that, and the anchors
    (one small file over and over) would not."""
    block = bytes(MIB)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(min(TOUCHED_BYTES_MAX, available_bytes() // 2) // MIB):
            os.write(fd, block)
    finally:
        os.close(fd)
        os.unlink(path)
