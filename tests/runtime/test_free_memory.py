"""Memory that a backlog took is given back to the machine."""

import threading

import psutil

from stream.runtime.free_memory import FreeMemory, trim

MIB = 1 << 20


class Process:
    """Has so many bytes resident, of which so many are in use; notes when it gives the rest back."""

    def __init__(self, resident: int, in_use: int) -> None:
        self.resident, self.in_use = resident, in_use
        self.keeps_up = True
        self.given_back = 0
        self.gave_back = threading.Event()

    def memory(self, look_every_s: float = 60.0) -> FreeMemory:
        """What looks after it."""
        return FreeMemory(lambda: self.keeps_up, look_every_s, self.give_back, lambda: self.resident)

    def give_back(self) -> None:
        """Only what is in use stays."""
        self.given_back += 1
        self.resident = self.in_use
        self.gave_back.set()


def test_what_a_backlog_took_is_given_back_once_the_worker_keeps_up() -> None:
    """Not within it, when the same pages are used again at once, and not a second time."""
    process = Process(resident=650 * MIB, in_use=250 * MIB)
    memory = process.memory()
    process.keeps_up = False
    memory.look()
    assert process.resident == 650 * MIB
    process.keeps_up = True
    memory.look()
    memory.look()
    assert (process.resident, process.given_back) == (250 * MIB, 1)


def test_memory_that_hardly_grew_is_left_alone() -> None:
    """State that grows is looked at each 2 MiB, and so is what a steady stream frees."""
    process = Process(resident=250 * MIB, in_use=250 * MIB)
    memory = process.memory()
    memory.look()
    for grown in (251, 252, 253, 254):
        process.resident = process.in_use = grown * MIB
        memory.look()
    assert process.given_back == 2  # at first, and at 253


def test_what_was_given_back_by_others_counts_from_there() -> None:
    """A task that went to another worker took its memory with it."""
    process = Process(resident=500 * MIB, in_use=500 * MIB)
    memory = process.memory()
    memory.look()
    process.resident = 200 * MIB
    memory.look()
    process.resident, process.in_use = 240 * MIB, 210 * MIB
    memory.look()
    assert process.resident == 210 * MIB


def test_it_looks_by_itself_while_it_is_entered() -> None:
    """From a thread of its own, which ends with it."""
    process = Process(resident=650 * MIB, in_use=250 * MIB)
    with process.memory(look_every_s=0.001):
        assert process.gave_back.wait(60)
    assert "stream-free-memory" not in [thread.name for thread in threading.enumerate()]


def test_pages_between_blocks_that_stay_are_given_back() -> None:
    """As librdkafka leaves them: the allocator alone returns only what is free at the end of its heap."""
    blocks = [bytes(700) for _ in range(100_000)]  # 700 bytes come from malloc, not from Python's own pools
    stays = blocks[::1000]
    before = psutil.Process().memory_info().rss
    del blocks
    trim()
    assert before - psutil.Process().memory_info().rss > 40 * MIB
    assert len(stays) == 100
