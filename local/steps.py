"""Several things done at once, each shown when it starts and ends: what, of how many, how long so far."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Steps:
    """A run of `total` named steps, printed to standard error with the seconds since its start.

    A step that takes long says every `reminder` seconds that it still runs: Go compiles for minutes without a word.
    """

    def __init__(self, total: int, reminder: float = 60) -> None:
        self._total = total
        self._reminder = reminder
        self._started = 0
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(max_workers=8)

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begin

    def run(self, name: str, action: Callable[[Callable[[str], None]], T]) -> T:
        """Do one step here and now. `action` gets a function that prints its progress; what it raises is said and raised."""
        with self._lock:
            self._started += 1
            number = self._started
        began = time.monotonic()
        title = f"[{number}/{self._total}] {name}"
        self.say(title)
        over = threading.Event()
        threading.Thread(target=self._remind, args=(title, began, over), daemon=True).start()
        try:
            result = action(lambda text: self.say(f"{title}: {text}"))
        except Exception as error:
            # Here and now: a step beside the others may be waited for much later.
            self.say(f"{title}: failed after {time.monotonic() - began:.1f} s: {str(error).partition(chr(10))[0]}")
            raise
        finally:
            over.set()
        self.say(f"{title}: done in {time.monotonic() - began:.1f} s")
        return result

    def start(self, name: str, action: Callable[[Callable[[str], None]], T]) -> "Future[T]":
        """Begin one step beside the others; the future's `result()` waits for it and raises what it raised."""
        return self._threads.submit(self.run, name, action)

    def _remind(self, title: str, began: float, over: threading.Event) -> None:
        while not over.wait(self._reminder):
            self.say(f"{title}: {time.monotonic() - began:.0f} s so far")

    def say(self, text: str) -> None:
        """Print one line."""
        with self._lock:
            print(f"{self.seconds:7.1f} s  {text}", file=sys.stderr, flush=True)
