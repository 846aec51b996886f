"""What a process keeps of its memory: fewer page faults, the same answers."""

import platform
import subprocess
import sys

import pytest

from zoo.training import memory

# 64 MiB at a time, as the states of a long sequence are; what counts is what it comes to, once the heap has grown
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
    """Minor page faults of ten steps that allocate 128 MiB each."""
    found = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    count, right = found.stdout.split()
    assert right == "True"
    return int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks to glibc's allocator")
def test_memory_that_was_freed_is_used_again_without_a_fault() -> None:
    left, kept = faults("leave"), faults("keep")
    assert left > 500  # at least one per huge page of 2 MiB: 640, or 327,680 of 4 KiB
    assert kept < left / 10


def test_elsewhere_nothing_is_asked_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: object) -> None:
        raise AssertionError("no such library here")

    monkeypatch.setattr("ctypes.CDLL", no_library)
    with pytest.raises(AssertionError, match="no such library"):
        memory.keep_memory()  # else the rest would say nothing
    monkeypatch.setattr("sys.platform", "darwin")
    memory.keep_memory()


def test_a_library_without_the_call_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As musl's."""
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.keep_memory()
