"""Reading ahead, computing in several threads, and writing behind.

Only ``SimpleQueue`` connects them: an interrupt in the middle of one of Python's own
locks, conditions or queues can leave these such that nobody is woken again.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()


def ahead(items: Iterable[T], depth: int = 1) -> Generator[T]:
    """Yield ``items``, taken by a thread that is at most ``depth`` of them ahead.

    Close it where it may be left before its end.
    """
    taken: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for _ in range(depth):
        room.put(True)

    def take() -> None:
        try:
            for item in items:
                if not room.get():
                    return
                taken.put(item)
                del item  # its memory is free while the next is waited for
            taken.put(_END)
        except BaseException as error:
            taken.put(error)

    thread = threading.Thread(target=take, name="relatum-reader", daemon=True)
    thread.start()
    try:
        while (item := taken.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            room.put(True)
            yield item
            del item
    finally:
        room.put(False)
        thread.join()


def in_order(
    function: Callable[[T], R], items: Iterable[T], n_threads: int, depth: int = 2
) -> Generator[R]:
    """Yield ``function(item)`` of each item in their order, computed by several threads.

    Each thread takes an item, alone, and works on it; at most ``depth`` results wait for
    one another. What taking or working raises is raised where its result would come.
    Close it where it may be left before its end.
    """
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    room: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for _ in range(n_threads + depth):
        room.put(True)
    numbered = enumerate(items)
    taking: queue.SimpleQueue[int] = queue.SimpleQueue()  # holds the number of the next item
    taking.put(0)

    def work() -> None:
        while room.get():
            number = taking.get()
            if number < 0:
                taking.put(number)
                return
            try:
                number, item = next(numbered)
            except BaseException as error:
                taking.put(-1)
                found.put((number, _END if isinstance(error, StopIteration) else error))
                return
            taking.put(number + 1)
            try:
                found.put((number, function(item)))
            except BaseException as error:
                found.put((number, error))
            del item

    threads = [
        threading.Thread(target=work, name=f"relatum-worker-{i}", daemon=True)
        for i in range(n_threads)
    ]
    for thread in threads:
        thread.start()
    waiting: dict[int, Any] = {}
    try:
        for number in itertools.count():
            while number not in waiting:
                waiting.update([found.get()])
            result = waiting.pop(number)
            if result is _END:
                return
            if isinstance(result, BaseException):
                raise result
            room.put(True)
            yield result
            del result
    finally:
        for _ in threads:
            room.put(False)
        for thread in threads:
            thread.join()


def told(work: Callable[[Callable[[T], None]], object]) -> Generator[T]:
    """Yield what ``work(tell)`` tells, as soon as it does; it runs in a thread of its own.

    Where this is left before the end, the next ``tell`` stops the work.
    """
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    left: list[bool] = []

    def tell(item: T) -> None:
        if left:
            raise InterruptedError("nobody listens")
        found.put(item)

    def run() -> None:
        try:
            work(tell)
            found.put(_END)
        except BaseException as error:
            found.put(error)

    thread = threading.Thread(target=run, name="relatum-teller", daemon=True)
    thread.start()
    try:
        while (item := found.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        left.append(True)
        thread.join()


class Behind:
    """Calls functions in their order in a thread that is at most ``depth`` of them behind.

    What one raises is raised by the next call or at the end; those that still wait are
    dropped then, and after an error of the caller too.
    """

    def __init__(self, depth: int = 1) -> None:
        self._waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room: queue.SimpleQueue[bool] = queue.SimpleQueue()
        for _ in range(depth + 1):  # and the one that is being called
            self._room.put(True)
        self._error: BaseException | None = None
        self._dropped = False
        self._thread = threading.Thread(target=self._work, name="relatum-writer", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (call := self._waiting.get()) is not _END:
            if self._error is None and not self._dropped:
                try:
                    call()
                except BaseException as error:
                    self._error = error
            del call
            self._room.put(True)

    def __call__(self, call: Callable[[], object]) -> None:
        self._raise()
        self._room.get()
        self._waiting.put(call)

    def _raise(self) -> None:
        if self._error is not None:
            error, self._dropped = self._error, True
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._dropped = self._dropped or kind is not None
        self._waiting.put(_END)
        self._thread.join()
        if kind is None:
            self._raise()
