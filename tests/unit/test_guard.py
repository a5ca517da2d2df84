"""The guard itself, on small suites of its own."""

import pytest

from tests import guard


def run(pytester: pytest.Pytester, **files: str) -> pytest.RunResult:
    pytester.makepyfile(**files)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", ".", plugins=[guard])


def test_a_complete_suite_passes(pytester: pytest.Pytester) -> None:
    suite = "def test_one(): pass\nclass TestB:\n    def test_two(self): pass\n"
    assert run(pytester, test_a=suite).ret == 0


def test_a_file_that_is_not_collected_fails_the_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, test_a="def test_one(): pass\n", database="def test_forgotten(): pass\n")
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*these tests are not collected:*", "*database.py::test_forgotten"])


def test_a_function_in_a_class_pytest_ignores_fails_the_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, test_a="def test_one(): pass\nclass Suite:\n    def test_two(self): pass\n")
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*test_a.py::test_two"])


def test_a_skip_without_a_name_fails_the_run(pytester: pytest.Pytester) -> None:
    result = run(pytester, test_a="import pytest\ndef test_one(): pytest.skip('no cluster')\n")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*skipped without an entry in NAMED_SKIPS*"])
