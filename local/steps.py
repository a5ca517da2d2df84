"""Several things done at once, each shown when it starts and ends: what, of how many, how long so far."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Steps:
    """A run of `total` named steps, printed to standard error with the seconds since its start."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = 0
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=8)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begin

    def run(self, name: str, action: Callable[[Callable[[str], None]], T]) -> T:
        """Do one step here and now. `action` gets a function that prints its progress."""
        with self._lock:
            self._started += 1
            number = self._started
        began = time.monotonic()
        title = f"[{number}/{self._total}] {name}"
        self.say(title)
        result = action(lambda text: self.say(f"{title}: {text}"))
        self.say(f"{title}: done in {time.monotonic() - began:.1f} s")
        return result

    def start(self, name: str, action: Callable[[Callable[[str], None]], T]) -> "Future[T]":
        """Begin one step beside the others; the future's `result()` waits for it and raises what it raised."""
        return self._threads.submit(self.run, name, action)

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            print(f"{self.seconds:7.1f} s  {text}", file=sys.stderr, flush=True)
