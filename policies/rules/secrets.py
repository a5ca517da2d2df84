"""Secrets: known as such wherever they are, written nowhere, and read by the one who needs them."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

from policies.containers import annotations, containers, has_pods
from policies.credentials import (
    credential,
    credential_in_cel,
    in_command,
    in_file,
    lines_in_cel,
    option_in_cel,
    shape_in_cel,
)
from policies.rule import (
    MARKED,
    UNKNOWN,
    Admission,
    Manifest,
    Rule,
    StackRule,
    Unreadable,
    at,
    identity,
    kinds,
)
from policies.secrets import Place, readers, uses

_HELD = ("data", "stringData")
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
_WORDS = ("command", "args", *(f"{handler}.exec.command" for handler in _HANDLERS))
_HEADERS = " + ".join(f"each.?{handler.replace('.', '.?')}.?httpGet.?httpHeaders.orValue([])" for handler in _HANDLERS)
_COMMANDS = ", ".join(f"each.?{words.replace('.', '.?')}" for words in _WORDS)
# Of a ConfigMap, in characters: to search more costs more than an API server allows an expression.
SEARCHED = 20_000
_PARTS = "[object.?data.orValue({}), object.metadata.?annotations.orValue({})]"
_FEW_TEXTS = f"{_PARTS}.map(part, part.map(key, size(part[key])).sum()).sum() <= {SEARCHED}"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in cast("Manifest", value).items():
            yield from _leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def _only_in_secrets(manifest: Manifest) -> Iterator[str]:
    held = _HELD if at(manifest, "kind") == "Secret" else ()
    for path, value in _leaves({key: value for key, value in manifest.items() if key not in held}, ""):
        if isinstance(value, Unreadable) and value.why == MARKED:
            yield f"{path} shows a secret to whoever reads the object; put it into a Secret and refer to that"


def _marked(manifest: Manifest) -> Iterator[str]:
    for part in _HELD:
        for path, value in _leaves(manifest.get(part), part):
            if value is not None and not (isinstance(value, Unreadable) and value.why in (MARKED, UNKNOWN)):
                yield f"{path} is written in plain; make it of a generated password, or of a secret of the configuration"


def _written_in_pods(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for index, variable in enumerate(at(container.spec, "env", [])):
            if found := credential(at(variable, "name", ""), str(at(variable, "value", ""))):
                yield f"{container.path}.env[{index}].value holds {found}; take it from a Secret by valueFrom.secretKeyRef"
        for part in _WORDS:
            if found := in_command(" ".join(str(word) for word in at(container.spec, part, []))):
                yield f"{container.path}.{part} holds {found}; take it from a Secret, by a variable or a file"
        for handler in _HANDLERS:
            for index, header in enumerate(at(container.spec, f"{handler}.httpGet.httpHeaders", [])):
                if credential(at(header, "name", ""), at(header, "value", "")):
                    where = f"{container.path}.{handler}.httpGet.httpHeaders[{index}].value"
                    yield f"{where} holds a credential; ask for a path that needs none"


def _texts(manifest: Manifest) -> Iterator[tuple[str, str, Any]]:
    for part in ("data", "binaryData") if at(manifest, "kind") == "ConfigMap" else ():
        for key, value in at(manifest, part, {}).items():
            yield f"{part}.{key}", key, value
    of_pods = dict(annotations(manifest))
    for place, given in {"metadata.annotations": at(manifest, "metadata.annotations", {}), **of_pods}.items():
        for key, value in given.items():
            yield f"{place}.{key}", key, value


def _written_in_texts(manifest: Manifest) -> Iterator[str]:
    for path, name, value in _texts(manifest):
        text = str(value)
        if found := credential(name, text) or next(in_file(text), ""):
            yield f"{path} holds {found}; put it into a Secret"


def _has_texts(manifest: Manifest) -> bool:
    return any(True for _text in _texts(manifest))


def _reads(manifest: Manifest) -> bool:
    return any(True for _use in uses(manifest))


def _secrets(manifests: Sequence[Manifest]) -> dict[Place, Manifest]:
    return {identity(each): each for each in manifests if at(each, "kind") == "Secret"}


def _one_reader(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    known = _secrets(manifests)
    for place, accounts in readers(manifests).items():
        if len(accounts) > 1:
            about = known.get(place, {"kind": "Secret", "metadata": {"namespace": place[0], "name": place[1]}})
            named = " and ".join(sorted(accounts))
            yield about, f"metadata.name is read by {named}; give each of them a Secret of its own"


def _fixed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    variables = {use.secret for manifest in manifests for use in uses(manifest) if use.variable}
    for place, manifest in _secrets(manifests).items():
        if place in variables and at(manifest, "immutable") is not True:
            yield manifest, "immutable is not true, but pods read it once, when they start; set it, and name it anew"


def _by_key(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for index, source in enumerate(at(container.spec, "envFrom", [])):
            if at(source, "secretRef"):
                where = f"{container.path}.envFrom[{index}].secretRef"
                yield f"{where} takes all that is ever put into it; name each key by env.valueFrom.secretKeyRef"


SECRET_RULES = (
    Rule(
        name="secret-only-in-secrets",
        description="What the program knows to be secret is in the data of Secrets and nowhere else.",
        why="Everybody who may look at a ConfigMap or a pod reads what is written there, and so do logs and backups of the API.",
        box="key-management",
        severity="critical",
        about=bool,
        check=_only_in_secrets,
    ),
    Rule(
        name="secret-not-written-in-pods",
        description="No variable, argument or header of a container, or of what probes, starts or stops it, looks like a credential.",
        why="It is in the source, in the state and in each process list, and nobody can change it without a release.",
        box="key-management",
        severity="critical",
        controls=("nsa:C-0012",),
        about=has_pods,
        check=_written_in_pods,
        admission=Admission(
            expressions=(
                f"""variables.containers.all(each, each.?env.orValue([]).all(variable,
                    !{credential_in_cel("variable.name", "variable.?value.orValue('')")}))""",
                *(
                    f"""variables.containers.all(each, [{_COMMANDS}].all(part,
                        [part.orValue([]).join(' ')].all(words, !({found}))))"""
                    for found in (option_in_cel("words"), shape_in_cel("words"))
                ),
                f"""variables.containers.all(each, ({_HEADERS}).all(header,
                    !{credential_in_cel("header.name", "header.value")}))""",
            ),
            lacks="what is encoded, or only random: CEL neither decodes nor counts",
        ),
    ),
    Rule(
        name="secret-not-written-in-texts",
        description="No ConfigMap and no annotation, of an object or of its pods, holds what looks like a credential.",
        why="ConfigMaps are read by more accounts than Secrets, are not encrypted at rest, and end in every bug report.",
        box="key-management",
        severity="critical",
        controls=("nsa:C-0012", "trivy:KSV-0109"),
        about=_has_texts,
        check=_written_in_texts,
        admission=Admission(
            resources=("configmaps",),
            parts=("data", "metadata.annotations"),
            expressions=tuple(
                f"!({_FEW_TEXTS}) || {_PARTS}.all(part, part.all(key, !({found})))"
                for found in (
                    *lines_in_cel("part[key]"),
                    credential_in_cel("key", "part[key]"),
                    shape_in_cel("part[key]"),
                )
            ),
            lacks=f"files of more than {SEARCHED} characters together, which cost too much to search; what is encoded, or only random;"
            " annotations of other objects than ConfigMaps",
        ),
    ),
    Rule(
        name="secret-data-marked",
        description="The data of a Secret is known to be secret, or is made while the stack is brought up.",
        why="A literal is in the source for everybody who may read that, and in plain in the state.",
        box="key-management",
        severity="high",
        about=kinds("Secret"),
        check=_marked,
    ),
    StackRule(
        name="secret-one-reader",
        description="A Secret is read by the pods of one account.",
        why="What two read, both lose when one is taken over, and it cannot be changed for one of them.",
        box="key-management",
        severity="high",
        controls=("kubescape:C-0255",),
        about=_reads,
        check=_one_reader,
    ),
    Rule(
        name="secret-taken-by-key",
        description="Containers name the keys that they take from a Secret.",
        why="Whatever is added to the Secret later is in the environment of every process, and in its crash reports.",
        box="key-management",
        severity="low",
        about=has_pods,
        check=_by_key,
    ),
    StackRule(
        name="secret-changes-roll-pods",
        description="A Secret that pods read as variables cannot be changed in place.",
        why="Pods that run keep the old value, those that start have the new one, and nobody sees which is which.",
        box="key-management",
        severity="low",
        about=_reads,
        check=_fixed,
    ),
)
