"""The processes that run user code: started early, streamed, and never outliving the host.

A child holds the read end of a pipe from the host. The request to run, with the configuration and its secrets, comes through
it, so that no secret is ever in a process's arguments or in its first environment; and when the pipe closes, because the host
ended in whatever way, the child ends itself.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import grpc

_HERE = Path(__file__).parent
_GRACE_SECONDS = 2.0

_running = set["Child"]()
_watched = list[grpc.Channel]()  # a channel that nothing refers to is closed


class Child:
    """One process of a session of its own, so that an interrupt from the terminal reaches the host alone."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        captured: bool = False,
    ) -> None:
        output = subprocess.PIPE if captured else None
        self.stopped = False
        self._process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        _running.add(self)

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message, or nothing if the child has already ended: its exit code will tell."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return

    def wait(self) -> int:
        """Wait for the end and return the exit code, negative if a signal ended it."""
        try:
            return self._process.wait()
        finally:
            _running.discard(self)

    def stop(self) -> None:
        """End the child and what it started, at once if it can be, by force if it cannot. Harmless when it has ended."""
        if self._process.poll() is not None:
            return
        self.stopped = True
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def output(self) -> Iterator[tuple[Literal["stdout", "stderr"], bytes]]:
        """Yield what a captured child writes, as it writes it, until both streams are closed."""
        written = queue.SimpleQueue[tuple[Literal["stdout", "stderr"], bytes]]()

        def pump(name: Literal["stdout", "stderr"], descriptor: int) -> None:
            while chunk := os.read(descriptor, 65536):
                written.put((name, chunk))
            written.put((name, b""))

        assert self._process.stdout is not None
        assert self._process.stderr is not None
        for name, stream in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            threading.Thread(target=pump, args=(name, stream.fileno()), daemon=True).start()
        open_streams = 2
        while open_streams:
            name, chunk = written.get()
            if chunk:
                yield name, chunk
            else:
                open_streams -= 1

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


class Program(Child):
    """A child that imports what a program will import, then waits for the request to run it.

    The engine asks for the required packages before it asks for the run: half a second before where it loads a policy pack
    in between, a tenth where it does not. The child starts at the first question and uses that time for its imports.
    """

    def __init__(self, executable: Path, imports: Sequence[str]) -> None:
        self.executable = executable
        super().__init__([executable, "-u", _HERE / "program.py", *imports])

    def run(self, request: Mapping[str, Any]) -> int:
        """Run the program and return its exit code."""
        self.send(request)
        return self.wait()


def policy_pack(executable: Path, directory: Path, *, cwd: Path, env: Mapping[str, str]) -> Child:
    """Return a child that serves the policy pack in `directory`."""
    return Child([executable, "-u", _HERE / "policy_pack.py", directory], cwd=cwd, env=env, captured=True)


def stop_all() -> None:
    """End every child there is."""
    for child in list(_running):
        child.stop()


def end_with(engine: str) -> None:
    """End this process and its children, without a traceback, at SIGINT or SIGTERM or when the engine is gone.

    The engine ends its plugins with SIGINT; one that was killed cannot, and must not leave them behind.
    """

    def on_signal(_number: int, _frame: object) -> None:
        _end()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    if engine:
        # Never idle for want of traffic: then idle means that the other side has gone.
        channel = grpc.insecure_channel(engine, options=[("grpc.client_idle_timeout_ms", 2**31 - 1)])
        _watched.append(channel)
        answered = threading.Event()

        def on_change(connectivity: grpc.ChannelConnectivity) -> None:
            if connectivity is grpc.ChannelConnectivity.READY:
                answered.set()
            elif answered.is_set():
                _end()

        channel.subscribe(on_change, try_to_connect=True)


def _end() -> None:
    stop_all()
    sys.stdout.flush()
    os._exit(0)
