"""Run one program in a stack: `python program.py MODULE…` imports the modules, then waits on its standard input for the request.

The exit code is 0, or 32 when the user has been told what is wrong, or the program's own.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import linecache
import logging
import os
import runpy
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

# The folder of this file is on the import path only because this file was started from it.
sys.path.pop(0)

_MESSAGE_SHOWN = 32
_SHOWN_VALUE = 60
_COLLECT_EVERY = 100_000
"""Objects made between two collections of garbage. A program ends in seconds and keeps nearly all it makes: with Python's
700, collecting took 5 of 10 s of CPU at 200 workloads, more for each further one, and freed nothing that was missed (the
peak of memory was the same 200 MB)."""


def _read_request(descriptor: int) -> dict[str, Any] | None:
    data = b""
    while not data.endswith(b"\n"):
        chunk = os.read(descriptor, 1 << 20)
        if not chunk:
            return None  # the host ended, or the engine never asked for a run
        data += chunk
    return json.loads(data)


def _end_with_host(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os._exit(1)


def _import(names: Sequence[str]) -> None:
    """Import what the program will. Many names are attributes and not modules; what is missing the program will say itself."""
    for name in names:
        with contextlib.suppress(ImportError):
            # The SDK's modules load at the first look at one of their attributes.
            getattr(importlib.import_module(name), "__all__", None)
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)


def _run(request: Mapping[str, Any]) -> int:
    import pulumi  # noqa: PLC0415 - the host may be gone before it is needed
    import pulumi.runtime  # noqa: PLC0415

    program = Path(request["program"])
    pulumi.runtime.set_all_config(request["config"], request["secret_keys"])
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=request["project"],
            stack=request["stack"],
            monitor=request["monitor"],
            engine=request["engine"],
            parallel=request["parallel"],
            dry_run=request["dry_run"],
            organization=request["organization"],
            root_directory=request["root"],
        )
    )
    if program.is_dir() and not (program / "__main__.py").is_file():
        pulumi.log.error(f"{program}: there is no __main__.py, which is the program")
        return _MESSAGE_SHOWN
    sys.argv = [str(program), *request["arguments"]]
    os.chdir(request["directory"] or program)
    # The folder stays on the path after the program's last line, for the imports of what it left to run later.
    sys.path.insert(0, str(program if program.is_dir() else program.parent))

    # A failed resource leaves futures that nobody awaits; asyncio would complain about each after the real message.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # Each registration in flight holds a thread for as long as the resource takes to be created.
    executor = ThreadPoolExecutor(max_workers=min(max(request["parallel"], 1) * 4, 1024))
    loop.set_default_executor(executor)

    def run() -> None:
        runpy.run_path(str(program), run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(run))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
    except Exception as error:  # noqa: BLE001 - whatever a program raises is for its author to read
        pulumi.log.error(_told(error, Path(request["root"] or program)))
    else:
        return 0
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        loop.close()
    return _MESSAGE_SHOWN


def _told(error: BaseException, root: Path) -> str:
    """Return what a person needs to see of an error: of a value refused by the program's own code, the message alone."""
    frames = [frame for frame in _frames(error.__traceback__) if _is_own(Path(frame.filename), root)]
    if isinstance(error, ValueError) and type(error).__module__.startswith("pydantic"):
        return _invalid_settings(error)
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    if type(error) is ValueError and frames and innermost and frames[-1].filename == innermost[0].filename:
        return f"{error}\n  (refused at {Path(frames[-1].filename).relative_to(root)}:{frames[-1].lineno})"
    lines = ["the program failed:\n"]
    if frames and not isinstance(error, SyntaxError):
        lines += traceback.format_list(frames)
    lines += traceback.format_exception_only(error)
    if error.__cause__ is not None:
        lines += ["caused by: ", *traceback.format_exception_only(error.__cause__)]
    return "".join(lines)


def _invalid_settings(error: Any) -> str:
    """Return one line per complaint of a pydantic ValidationError: the key, the complaint, the value."""
    lines = [f"{error.title} is not valid:"]
    for complaint in error.errors(include_url=False):
        key = ".".join(str(part) for part in complaint["loc"]) or "(top level)"
        value = repr(complaint["input"])
        if len(value) > _SHOWN_VALUE:
            value = value[:_SHOWN_VALUE] + "…"
        lines.append(f"  {key}: {complaint['msg']} (is {value})")
    return "\n".join(lines)


def _frames(trace: TracebackType | None) -> traceback.StackSummary:
    linecache.checkcache()
    return traceback.extract_tb(trace)


def _is_own(file: Path, root: Path) -> bool:
    return file.is_relative_to(root) and file != Path(__file__) and "site-packages" not in file.parts


def main() -> int:
    """Import, wait for the request, run it."""
    requests = os.dup(0)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    _import(sys.argv[1:])
    request = _read_request(requests)
    if request is None:
        return 0
    threading.Thread(target=_end_with_host, args=(requests,), daemon=True).start()
    return _run(request)


if __name__ == "__main__":
    sys.exit(main())
