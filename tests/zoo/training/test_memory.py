"""Keeping freed memory avoids page faults and does not change results."""

import platform
import subprocess
import sys

import pytest

from zoo.training import memory

# Allocates blocks of 64 MiB, like the states of a long sequence, and counts page faults after the heap has grown.
PROGRAM = """
import resource, sys
import torch
from zoo.training.memory import keep_memory

torch.set_num_threads(1)
if sys.argv[1] == "keep":
    keep_memory()

def step():
    blocks = [torch.empty(16 << 20, dtype=torch.float32).fill_(i) for i in range(2)]
    return sum(block[::4096].sum().item() for block in blocks)

for _ in range(10):
    first = step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
total = sum(step() for _ in range(10))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, total == 10 * first == 10 * 4096.0)
"""


def faults(how: str) -> int:
    """Count the minor page faults of ten steps that allocate 128 MiB each."""
    found = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    count, right = found.stdout.split()
    assert right == "True"
    return int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc's allocator")
def test_freed_memory_is_reused_without_page_faults() -> None:
    left, kept = faults("leave"), faults("keep")
    assert left > 500  # one per page: 640 with huge pages of 2 MiB, 327,680 with pages of 4 KiB
    assert kept < left / 10


def test_other_systems_than_linux_do_not_load_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: object) -> None:
        raise AssertionError("no such library here")

    monkeypatch.setattr("ctypes.CDLL", no_library)
    with pytest.raises(AssertionError, match="no such library"):
        memory.keep_memory()  # on Linux the library is loaded, so the patch has an effect
    monkeypatch.setattr("sys.platform", "darwin")
    memory.keep_memory()


def test_a_library_without_mallopt_is_left_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl has no mallopt."""
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.keep_memory()
