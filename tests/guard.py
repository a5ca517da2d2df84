"""A run that leaves out a test fails: every test function of every test file is collected, and none is skipped unnamed."""

import ast
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import pytest

NAMED_SKIPS: dict[str, str] = {}
"""Node id without parameters -> the reason it may be skipped."""


def defined(files: Iterable[Path]) -> set[tuple[Path, str]]:
    """Return every test function in the files, by file and name, also those pytest would overlook."""
    return {(file, name) for file in files for name in _functions(ast.parse(file.read_text()).body)}


def _functions(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body)


def files_under(paths: Iterable[Path]) -> list[Path]:
    """Return the Python files below the paths that hold tests, whatever they are called."""
    found = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return [file for file in found if any(True for _ in _functions(ast.parse(file.read_text()).body))]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail the run if a test file or function below what was asked for is not collected."""
    config = session.config
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the processes that run the tests collect them, and each is checked
    if config.option.keyword or config.option.markexpr or any("::" in word for word in config.args):
        return
    asked = [Path(config.rootpath, word).resolve() for word in config.args]
    collected = {(item.path, getattr(item, "originalname", item.name)) for item in session.items}
    missing = sorted(f"{file}::{name}" for file, name in defined(files_under(asked)) - collected)
    if missing:
        raise pytest.UsageError("these tests are not collected:\n" + "\n".join(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that has no entry in NAMED_SKIPS into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and report.nodeid.partition("[")[0] not in NAMED_SKIPS:
        report.outcome = "failed"
        report.longrepr = f"skipped without an entry in NAMED_SKIPS: {report.longrepr}"
    return report
