"""`make restore` interrupted at every step and run again: it ends well, and drops nothing that was acknowledged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from local import restoring
from local.database import Cluster

MOMENT, LATER = "2026-11-02T00:00:00+00:00", "2026-11-03T00:00:00+00:00"
SINCE = ", and what was written since"


class Interrupted(BaseException):
    """As Ctrl-C, or the machine's end."""


@dataclass
class Volume:
    """A server's: what `begin_restore` of its entrypoint does, and Patroni after it, on one line each."""

    data: str = "old"
    restored: int = 0
    aside: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Simulated(Cluster):
    """One server, and what it has; `interrupt` is before or after which of the changes kubectl is the last that is heard of."""

    state: dict[str, Any] = field(default_factory=dict[str, Any])
    volume: Volume = field(default_factory=Volume)
    changes: list[str] = field(default_factory=list[str])

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        words, state = " ".join(arguments), self.state
        if arguments[0] not in ("create", "patch", "scale", "delete", "annotate") and "rm -rf" not in words:
            return self._answer(*arguments)
        number = len(self.changes)
        if state.get("interrupt") == (number, "before"):
            raise Interrupted
        self.changes.append(words)
        self._change(*arguments, stdin=stdin)
        if state.get("interrupt") == (number, "after"):
            raise Interrupted
        return ""

    def _answer(self, *arguments: str) -> str:
        words, state = " ".join(arguments), self.state
        leads = "role=primary" not in words or self.volume.data
        template: dict[str, Any] = {"metadata": {"labels": {}}, "spec": {}}
        answers: dict[str, Any] = {
            "get statefulset": {"spec": {"replicas": state["replicas"]}},
            "get configmap": None if state["restore"] is None else {"data": state["restore"]},
            "get jobs": {
                "items": [{"metadata": {"creationTimestamp": ""}, "spec": {"backoffLimit": 6, "template": template}}]
            },
            "get job": {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
            if arguments[2] in state["jobs"]
            else None,
            "get pods": {"items": [{"metadata": {"name": "postgres-0"}}]} if state["replicas"] and leads else None,
            "exec postgres-0": [{"status": {"code": 0}, "backup": [{"timestamp": {"stop": 0}}]}],
        }
        found = answers[" ".join(arguments[:2])]
        return "f" if "pg_is_in_recovery" in words else "" if found is None else json.dumps(found)

    def _change(self, *arguments: str, stdin: str | None) -> None:
        words, state = " ".join(arguments), self.state
        if words.startswith("create configmap"):
            state["restore"] = {}
        elif arguments[0] == "patch":
            state["restore"] |= json.loads(arguments[-1].partition("=")[2])["data"]
        elif arguments[0] == "annotate":
            assert not state["replicas"]
            state["initialized"] = False
        elif arguments[0] == "create":
            name = arguments[2] if arguments[1] == "job" else json.loads(stdin or "")["metadata"]["name"]
            assert name not in state["jobs"], "kubectl: already exists"
            state["jobs"].append(name)
        elif arguments[0] == "scale":
            state["replicas"] = int(arguments[-1].partition("=")[2])
            if state["replicas"]:
                self._servers_start()
        elif "rm -rf" in words:
            self.volume.aside.clear()

    def _servers_start(self) -> None:
        asked, volume = self.state["restore"], self.volume
        if int(asked.get("number") or 0) > volume.restored:
            if volume.data:
                volume.aside.append(volume.data)
            volume.data, volume.restored = "", int(asked["number"])
        if not self.state["initialized"]:
            assert not volume.data, "servers with data forget who led, and the one with less may lead"
            volume.data, self.state["initialized"] = f"as of {asked['target'] or 'newest'}", True


def cluster() -> Simulated:
    state: dict[str, Any] = {"replicas": 3, "restore": None, "jobs": [], "initialized": True}
    return Simulated([], {}, state)


def quietly(_line: str) -> None:
    pass


def uninterrupted() -> list[str]:
    once = cluster()
    restoring.restore(once, MOMENT, quietly)
    assert once.volume == Volume("as of 2026-11-02 00:00:00+00:00", once.volume.restored)
    return once.changes


# All but after the last one, when nothing is left to be done.
STEPS = [(number, when) for number in range(len(uninterrupted())) for when in ("before", "after")][:-1]


def interrupted(to: str, step: tuple[int, str]) -> Simulated:
    """Return a cluster with a restore that was interrupted; if a server serves, it has acknowledged rows since."""
    found = cluster()
    found.state["interrupt"] = step
    with pytest.raises(Interrupted):
        restoring.restore(found, to, quietly)
    del found.state["interrupt"]
    if found.volume.data.startswith("as of"):
        found.volume.data += SINCE
    return found


def removals(changes: Sequence[str]) -> list[int]:
    """Return which of the changes remove what was put aside."""
    return [number for number, change in enumerate(changes) if "rm -rf" in change]


@pytest.mark.parametrize("to", [MOMENT, "newest"])
@pytest.mark.parametrize("step", STEPS)
def test_the_same_again_goes_on_and_keeps_what_was_written_since(step: tuple[int, str], to: str) -> None:
    found = interrupted(to, step)
    served = found.volume.data.endswith(SINCE)
    restoring.restore(found, to, quietly)
    assert found.volume.data.startswith("as of newest" if to == "newest" else "as of 2026-11-02")
    assert found.volume.data.endswith(SINCE) == served
    assert found.volume.aside == []
    assert len(found.state["jobs"]) == 2
    assert found.state["restore"]["step"] == ""
    assert found.state["replicas"] == 3


@pytest.mark.parametrize("again", [LATER, "newest"])
@pytest.mark.parametrize("step", STEPS)
def test_another_moment_begins_anew_and_drops_nothing_before_it_is_complete(step: tuple[int, str], again: str) -> None:
    tried, found = interrupted(MOMENT, step), interrupted(MOMENT, step)
    had = {found.volume.data, *found.volume.aside} - {""}
    # The same second run twice: this one to see when it removes what was put aside, the other one up to there.
    restoring.restore(tried, again, quietly)
    assert removals(tried.changes)[-1] >= len(tried.changes) - 2
    found.state["interrupt"] = (removals(tried.changes)[-1], "before")
    with pytest.raises(Interrupted):
        restoring.restore(found, again, quietly)
    assert had <= set(found.volume.aside)
    assert len(found.state["jobs"]) >= 2
    del found.state["interrupt"]
    restoring.restore(found, again, quietly)
    for one in (tried, found):
        assert one.volume.data.startswith("as of newest" if again == "newest" else "as of 2026-11-03")
        assert one.volume.aside == []
        assert one.state["replicas"] == 3


def test_the_newest_moment_begins_anew_where_all_servers_were_lost_since() -> None:
    found = interrupted("newest", STEPS[-1])
    found.volume.data = ""
    found.volume.restored = 0
    restoring.restore(found, "newest", quietly)
    assert found.volume.data == "as of newest"
