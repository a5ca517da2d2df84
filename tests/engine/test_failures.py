"""What a person is told when `up` or a preview fails, and that the next one can succeed."""

import json
import threading
from collections.abc import Callable

import pytest

from local.engine import Engine
from local.problem import Problem
from tests.engine.conftest import configure
from tests.processes import eventually


def _end_jobs(kubectl: Callable[..., str], *conditions: str) -> Callable[[], None]:
    """Do what the Job's controller would: say of each new Job, once it is there, that it has ended."""
    ended = set(kubectl("get", "jobs", "--output=name").split())
    moment = "2026-01-02T03:04:05Z"
    status = {
        "startTime": moment,
        "conditions": [
            {"type": condition, "status": "True", "reason": "BackoffLimitExceeded", "message": "it failed"}
            for condition in conditions
        ],
    }
    if "Complete" in conditions:
        status["completionTime"] = moment

    def end() -> None:
        for job in set(kubectl("get", "jobs", "--output=name").split()) - ended:
            kubectl("patch", job, "--subresource=status", "--type=merge", f"--patch={json.dumps({'status': status})}")
            ended.add(job)

    return end


def _up(engine: Engine, meanwhile: Callable[[], None]) -> str:
    """Bring the toy up while something is done again and again, and return what was wrong."""
    wrong: list[str] = []

    def run() -> None:
        try:
            engine.up()
        except Problem as problem:
            wrong.append(str(problem))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def over() -> bool:
        meanwhile()
        return not thread.is_alive()

    eventually(over, "`up` is over", 120)
    return "".join(wrong)


def test_a_job_that_failed_is_named_with_its_log_and_the_next_up_makes_another(
    engine: Engine, kubectl: Callable[..., str]
) -> None:
    configure(engine.root, job="true")
    wrong = _up(engine, _end_jobs(kubectl, "FailureTarget", "Failed"))
    [failed] = kubectl("get", "jobs", "--output=name").split()
    name = failed.rpartition("/")[2]
    assert f"job {name} of namespace default did not succeed; what it said last:" in wrong
    assert "its log cannot be had: " in wrong  # nothing runs on this cluster
    assert "run `up` again" in wrong
    assert not _up(engine, _end_jobs(kubectl, "SuccessCriteriaMet", "Complete"))
    [succeeded] = kubectl("get", "jobs", "--output=name").split()
    assert succeeded != failed
    assert engine.changes() == []


def test_what_is_kept_is_not_replaced(
    engine: Engine, kubectl: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    configure(engine.root, claims="true", keep="true", skip_await="true", storage_class="one", word="hello")
    engine.up()
    identity = ("get", "statefulsets,configmaps", "--output=jsonpath={.items[*].metadata['uid','resourceVersion']}")
    before = kubectl(*identity)
    configure(engine.root, claims="true", keep="true", skip_await="true", storage_class="two", word="changed")
    for verb in (engine.preview, engine.up):
        with pytest.raises(Problem) as refused:
            verb()
        assert "claims: kept (keep: true), and this change would make it anew" in str(refused.value)
        assert "Put the setting back as it was" in str(refused.value)
    assert "unable to replace resource" in capfd.readouterr().out
    configure(engine.root, claims="true", keep="true", skip_await="true", storage_class="one", word="hello")
    engine.preview()
    assert kubectl(*identity) == before
    configure(engine.root, claims="true", keep="false", skip_await="true", storage_class="one")
    engine.up()
