"""Reading ahead and writing behind: one thread each, while the caller computes.

Only ``SimpleQueue`` connects them: an interrupt in the middle of one of Python's own
locks, conditions or queues can leave these such that nobody is woken again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
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
