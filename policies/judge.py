"""Judge objects by rules: no exception escapes, and what cannot be judged is a breach."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from traceback import extract_tb
from typing import Any, cast

from policies.plain import objects
from policies.rule import AnyRule, Manifest, ProgramRule, Registered, Rule, StackRule, UnreadableError


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One breach: of which rule, by which object, as `Deployment app/api`, and where and how to put it right.

    A resource that only its registration is judged of is called by its type and name.
    """

    rule: str
    resource: str
    message: str


def reference(manifest: Manifest) -> str:
    """Return how a person names an object: `Deployment app/api`, `stack` for THE_STACK. It never raises."""
    if not manifest:
        return "stack"
    metadata = manifest.get("metadata")
    fields = cast("Manifest", metadata) if isinstance(metadata, dict) else {}
    name = [part for key in ("namespace", "name") if isinstance(part := fields.get(key), str)]
    kind = manifest.get("kind")
    return f"{kind if isinstance(kind, str) else 'object'} {'/'.join(name) or 'without a known name'}"


def judge(rule: Rule, properties: Manifest, token: str = "") -> list[Finding]:
    """Return the breaches of a rule by one resource; `token` is its type, where it has one."""

    def breaches() -> Iterator[Finding]:
        for path, manifest in objects(properties, token):
            for message in _guarded(_breaches(rule, manifest)):
                yield Finding(rule.name, reference(manifest), f"{path}{message}")

    return [
        found if isinstance(found, Finding) else Finding(rule.name, reference(properties), found)
        for found in _guarded(breaches())
    ]


def passes(rules: Sequence[Rule], properties: Manifest, token: str = "") -> bool:
    """Return whether no rule finds anything in one resource, sooner than each by itself could say so."""
    try:
        for _path, manifest in objects(properties, token):
            for rule in rules:
                if rule.about(manifest) and any(True for _message in rule.check(manifest)):
                    return False
    except Exception:  # noqa: BLE001 - which rule it is, and why, is for `judge` to say
        return False
    return True


class Stack:
    """All resources of a stack, each with its type; each rule judges them once, whoever asks.

    Without `registered`, what only the engine sees is not known.
    """

    def __init__(
        self, resources: Sequence[tuple[Manifest, str]], registered: Sequence[Registered] | None = None
    ) -> None:
        self.resources = resources
        self.registered = registered
        self._found = dict[str, list[Finding]]()

    @cached_property
    def manifests(self) -> list[Manifest]:
        """Each object of the resources; raises UnreadableError if there is a list that cannot be read."""
        return [manifest for properties, token in self.resources for _path, manifest in objects(properties, token)]

    def judge(self, rule: AnyRule) -> list[Finding]:
        """Return the breaches of a rule of any sort."""
        if rule.name not in self._found:
            self._found[rule.name] = list(self._judged(rule))
        return self._found[rule.name]

    def _judged(self, rule: AnyRule) -> Iterator[Finding]:
        if isinstance(rule, StackRule):
            for found in _guarded(self._together(rule)):
                yield found if isinstance(found, Finding) else Finding(rule.name, "stack", found)
        elif isinstance(rule, ProgramRule):
            for each in self.registered or ():
                yield from judge_registered(rule, each)
        else:
            for properties, token in self.resources:
                yield from judge(rule, properties, token)

    def _together(self, rule: StackRule) -> Iterator[Finding]:
        if any(rule.about(manifest) for manifest in self.manifests):
            for manifest, message in rule.check(self.manifests):
                yield Finding(rule.name, reference(manifest), message)


def judge_registered(rule: ProgramRule, registered: Registered) -> list[Finding]:
    """Return the breaches of a rule by how one resource is registered."""

    def breaches() -> Iterator[str]:
        if rule.about(registered):
            yield from rule.check(registered)

    resource = f"{registered.token} {registered.name}"
    return [Finding(rule.name, resource, message) for message in _guarded(breaches())]


def judge_all(rules: Sequence[AnyRule], stack: Stack) -> list[Finding]:
    """Return the breaches of all rules, in a stable order."""
    return sorted(found for rule in rules for found in stack.judge(rule))


def _breaches(rule: Rule, manifest: Manifest) -> Iterator[str]:
    if rule.about(manifest):
        yield from rule.check(manifest)


def _guarded(messages: Iterator[Any]) -> Iterator[Any]:
    """Yield what a check yields; in place of an exception, a message that says why, without any value."""
    try:
        yield from messages
    except UnreadableError as error:
        yield f"cannot be judged: {error}; give it a value that a preview knows and may show"
    except Exception as error:  # noqa: BLE001 - one rule that fails must not keep the others from being judged
        # The error's own text may hold a value of the object, even a secret one.
        frame = extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        yield f"cannot be judged: {type(error).__name__} in {where}; correct the object's shape, or the rule"
