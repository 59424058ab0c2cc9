"""Reading ahead and writing behind: order, errors, and interrupts at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from relatum._overlap import Behind, ahead, in_order, told


def names() -> set[str]:
    return {t.name for t in threading.enumerate()}


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_their_order_and_no_further_ahead_than_asked(depth):
    taken: list[int] = []

    def items():
        for i in range(20):
            taken.append(i)
            yield i

    for i in ahead(items(), depth):
        time.sleep(0.002)
        assert len(taken) <= i + depth + 2
    assert taken == list(range(20))
    assert "relatum-reader" not in names()


def test_an_error_of_the_reader_reaches_the_caller():
    def items():
        yield 1
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(ahead(items()))


def test_a_reader_ends_when_it_is_closed_before_its_end():
    items = ahead(iter(range(10**9)))
    assert next(items) == 0
    items.close()
    assert "relatum-reader" not in names()


def test_what_a_function_tells_is_heard_while_it_works():
    heard = threading.Event()

    def work(tell):
        tell("first")
        assert heard.wait(20)  # the caller has it, though the work is not done
        tell("second")

    items = told(work)
    assert next(items) == "first"
    heard.set()
    assert list(items) == ["second"]
    assert "relatum-teller" not in names()


def test_what_was_told_before_an_error_is_heard_before_it():
    def work(tell):
        tell(1)
        raise OSError("gone")

    items = told(work)
    assert next(items) == 1
    with pytest.raises(OSError, match="gone"):
        next(items)
    assert "relatum-teller" not in names()


def test_a_function_that_nobody_listens_to_stops_where_it_next_tells():
    rest: list[int] = []

    def work(tell):
        for i in range(10**9):
            rest.append(i)
            tell(i)
            time.sleep(0.001)

    items = told(work)
    assert next(items) == 0
    items.close()
    assert "relatum-teller" not in names()
    assert len(rest) < 10**6


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_come_in_the_order_of_their_items(n_threads):
    taken: list[int] = []

    def items():
        for i in range(40):
            taken.append(i)
            yield i

    def slow(i: int) -> tuple[int, str]:
        time.sleep(0.004 if i % 3 == 0 else 0)
        return i, threading.current_thread().name

    seen = set()
    for n, (i, name) in enumerate(in_order(slow, items(), n_threads, depth=2)):
        assert i == n
        assert len(taken) <= n + n_threads + 2 + 2
        seen.add(name)
    assert n == 39
    assert len(seen) == n_threads
    assert not any(name.startswith("relatum-worker") for name in names())


def test_what_goes_wrong_is_raised_after_the_results_before_it():
    def fail(i: int) -> int:
        time.sleep(0.01 if i < 5 else 0)
        if i >= 5:
            raise OSError(f"gone at {i}")
        return i

    found: list[int] = []
    with pytest.raises(OSError, match="gone at 5"):
        found.extend(in_order(fail, range(100), 3))
    assert found == [0, 1, 2, 3, 4]

    def items():
        yield from range(4)
        raise OSError("cannot be read")

    found.clear()
    with pytest.raises(OSError, match="cannot be read"):
        found.extend(in_order(lambda i: i, items(), 3))
    assert found == [0, 1, 2, 3]
    assert not any(name.startswith("relatum-worker") for name in names())


def test_workers_end_when_they_are_closed_before_their_end():
    results = in_order(lambda i: i, iter(range(10**9)), 3)
    assert next(results) == 0
    results.close()
    assert not any(name.startswith("relatum-worker") for name in names())
    assert list(in_order(lambda i: i, [], 2)) == []


def test_calls_are_made_in_their_order():
    done: list[int] = []
    with Behind() as later:
        for i in range(50):
            later(lambda i=i: done.append(i))
    assert done == list(range(50))
    assert "relatum-writer" not in names()


def test_an_error_behind_is_raised_and_the_rest_is_dropped():
    done: list[int] = []

    def fail() -> None:
        raise OSError("full")

    def run() -> None:
        with Behind() as later:
            later(fail)
            for i in range(100):
                time.sleep(0.001)
                later(lambda i=i: done.append(i))

    with pytest.raises(OSError, match="full"):
        run()
    assert done == []


def test_an_error_behind_the_last_call_is_raised_at_the_end():
    def fail() -> None:
        time.sleep(0.02)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Behind() as later:
        later(fail)


def test_calls_that_wait_are_dropped_after_an_error_of_the_caller():
    done: list[int] = []

    def run() -> None:
        with Behind(depth=5) as later:
            later(lambda: time.sleep(0.05))
            later(lambda: done.append(1))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run()
    assert done == []


SCRIPT = """
from contextlib import closing
from relatum._overlap import Behind, ahead, in_order, told
print("go", flush=True)
try:
    while True:
        with Behind() as later, closing(ahead(iter(range(1000)))) as items:
            for i in items:
                later(lambda: None)
except KeyboardInterrupt:
    pass
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_interrupt_at_any_moment_ends_it():
    for i in range(12):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout.readline() == b"go\n"
        time.sleep(0.01 + i * 0.003)
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        finally:
            process.kill()
