"""The generated parts of the documentation. `make docs` writes them; tests/unit/test_docs.py fails when they are stale."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from components import setting_types
from components.settings import Settings
from policies import links
from tests.policies import compliance
from tests.policies import pages as of_policies
from tests.policies.pages import table
from tests.render import ROOT, committed

README = ROOT / "README.md"
SHARED = ("app", "data", "security")
"""The namespaces drawn as boxes; what is in no namespace of ours is drawn beside them."""

Row = Mapping[str, str | int]

_STACK_CONFIG = {
    "platform:settings": "the tree below; required",
    "platform:images": "image name in `components/versions.py` → what runs under it: a digest in a registry, or a local build. "
    "On the machine's own node `make up` fills it in",
    "platform:bucket-keys": "a secret, with `objects.endpoint`: `accounts` with `id`, `key` and on AWS `principal` (an ARN) of each "
    "account in `components/buckets.py`, and of `owner` where buckets are made; `encryption`, the key of the backups, in place of a "
    "random one",
    "platform:context": "a context of your kubeconfig; `make up CONTEXT=NAME` sets it for one run",
    "pulumi:disable-default-providers": "`[kubernetes]` in every stack: an object without an explicit cluster is an error, "
    "not a surprise in the current context",
}
CONFIG_KEYS = frozenset(_STACK_CONFIG)
"""What may stand under `config:` in a stack's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One leaf of the settings tree."""

    key: str
    kind: str
    default: str
    constraint: str
    meaning: str


def settings(model: type[BaseModel] = Settings, prefix: str = "", given: BaseModel | None = None) -> Iterator[Setting]:
    """Yield every leaf below a model; `given` is the instance whose values are the defaults."""
    schema = cast("dict[str, dict[str, Any]]", model.model_json_schema()["properties"])
    for name, field in model.model_fields.items():
        key = prefix + name
        default = getattr(given, name) if given else field.get_default()
        if inner := _model(field.annotation):
            listed = get_origin(field.annotation) is tuple
            yield from settings(inner, f"{key}[]." if listed else f"{key}.", None if listed else default)
            continue
        shape = schema[name]
        options = [option for option in shape.get("anyOf", [shape]) if option["type"] != "null"]
        shape = {**shape, **options[0]}
        yield Setting(
            key=key,
            kind=shape["type"],
            default="required" if given is None and field.is_required() else _shown(default),
            constraint=_constraint(shape),
            meaning=_mentioned(model, name) or _general(model) or shape["description"],
        )


def _model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _model(argument))), None)


def _shown(default: Any) -> str:
    return "none" if default is None else f"`{json.dumps(default).strip(chr(34))}`"


def _constraint(shape: Mapping[str, Any]) -> str:
    if "pattern" in shape:
        return str(shape["description"])
    if "enum" in shape:
        return " or ".join(str(value) for value in shape["enum"])
    low, high = shape.get("minimum"), shape.get("maximum")
    if low is not None:
        return f"{low} to {high}" if high is not None else f"at least {low}"
    return ""


def _mentioned(model: type[BaseModel], name: str) -> str:
    """Return the first sentence, of the model's own docstring or an ancestor's, that speaks of the field."""
    for ancestor in model.__mro__:
        for sentence in _sentences(ancestor.__doc__) if issubclass(ancestor, BaseModel) else ():
            if f"`{name}`" in sentence:
                return sentence.rstrip(".")
    return ""


def _general(model: type[BaseModel]) -> str:
    """Return what a model's docstring says of no field in particular; the root's one leaf is the domain, of the URL."""
    text = Settings.url.__doc__ if model is Settings else model.__doc__
    return " ".join(sentence for sentence in _sentences(text) if "`" not in sentence).rstrip(".")


def kinds() -> dict[str, str]:
    """Return the kinds of string a setting can be: what it must be, in words and as a regular expression."""
    kinds = ("Quantity", "Fqdn", "Ipv4", "Name", "ImageReference", "Driver", "Schedule")
    named = [getattr(setting_types, kind) for kind in kinds]
    schemas = [TypeAdapter[str](kind).json_schema() for kind in named]
    return {schema["description"]: schema["pattern"] for schema in schemas}


def _sentences(text: str | None) -> Sequence[str]:
    return re.split(r"(?<=\.)\s+", " ".join((text or "").split()))


def settings_page() -> str:
    """Return docs/settings.md."""
    found = list(settings())
    lines = [
        "# Settings",
        "",
        _generated("`components/settings.py`"),
        "",
        "A stack's file holds what differs from the defaults, and nothing else; comparing two files shows the whole difference between",
        "two environments. A wrong value stops the run before anything is created, with one line for each wrong key that names the file,",
        'the key, the value and what would be right. Strings are not turned into numbers: `cpu` is `"2"`, `pods` is `50`.',
        "",
        "## Under `config:`",
        "",
        *table(["key", "is"], [[f"`{key}`", text] for key, text in _STACK_CONFIG.items()]),
        "",
        "## The tree: `platform:settings`",
        "",
        "`scale.max` may not be below `scale.min`; where they are equal there is no autoscaler. An image may not be `latest`.",
        "",
    ]
    escaped = [[text, f"`{pattern}`".replace("|", r"\|")] for text, pattern in kinds().items()]
    lines += [
        "Strings are checked against one of these expressions:",
        "",
        *table(["must be", "expression"], escaped),
        "",
    ]
    for name, field in Settings.model_fields.items():
        below = [setting for setting in found if setting.key.partition(".")[0].removesuffix("[]") == name]
        model = _model(field.annotation)
        lines += [f"### `{name}`", "", *([" ".join(_sentences(model.__doc__)), ""] if model else [])]
        rows = [[f"`{s.key}`", s.kind, s.default, s.constraint, s.meaning] for s in below]
        lines += [*table(["key", "type", "default", "constraint", "meaning"], rows), ""]
    return "\n".join(lines)


def connections_page() -> str:
    """Return docs/connections.md."""
    prod, dev = _rows("prod"), _rows("dev")
    return "\n".join(
        [
            "# Connections",
            "",
            _generated("what the stack `prod` renders"),
            "",
            "Every namespace denies traffic both ways but for DNS. A pod that is given the label `quarantine=true` reaches nothing and is",
            "reached by nothing: `kubectl label pod POD quarantine=true`. What is connected already stays so until it is closed.",
            "",
            "What tiers may open to each other is declared in `policies/tiers.yaml`, to which the policy pack holds the policies. Each row is",
            "opened on both sides by one `talks_to` in `__main__.py`, and nothing else is: `tests/unit/test_connections.py` compares the table",
            "with the rendered policies, `tests/cluster/test_network.py` tries allowed and denied pairs with real packets. An arrow points",
            "from who opens the connection to who answers.",
            "",
            *table(["client", "server", "TCP port"], [[f"`{c}`", f"`{s}`", str(p)] for c, s, p in prod]),
            "",
            *_graph(prod),
            "",
            "`dev` has these as well, because its frontend is open on the node and the tests' site may be scraped:",
            "",
            *table(
                ["client", "server", "TCP port"],
                [[f"`{c}`", f"`{s}`", str(p)] for c, s, p in dev if (c, s, p) not in prod],
            ),
            "",
        ]
    )


def _rows(stack: str) -> list[tuple[str, str, int]]:
    rows: list[Row] = committed(stack).outputs["connections"]
    return sorted((str(row["client"]), str(row["server"]), int(row["port"])) for row in rows)


def _graph(rows: Sequence[tuple[str, str, int]]) -> list[str]:
    """Return a Mermaid graph with one arrow for each pair, its ports on it."""
    names = sorted({name for row in rows for name in row[:2]})
    lines = ["```mermaid", "flowchart LR"]
    for namespace in SHARED:
        inside = [name for name in names if name.startswith(f"{namespace}/")]
        lines += [f"    subgraph {namespace}", *(f"        {_node(name)}" for name in inside), "    end"]
    lines += [f"    {_node(name)}" for name in names if name.partition("/")[0] not in SHARED]
    ports: dict[tuple[str, str], list[str]] = {}
    for client, server, port in rows:
        ports.setdefault((client, server), []).append(str(port))
    lines += [f"    {_id(c)} -->|{', '.join(found)}| {_id(s)}" for (c, s), found in ports.items()]
    return [*lines, "```"]


def _id(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name)


def _node(name: str) -> str:
    namespace, _, workload = name.rpartition("/")
    if namespace == "data":
        return f'{_id(name)}[("{workload}")]'
    return f'{_id(name)}["{workload}"]' if namespace in SHARED else f'{_id(name)}(["{name}"])'


def verbs() -> dict[str, str]:
    """Return the Makefile's verbs and what each does, in the Makefile's order."""
    return dict(re.findall(r"^([a-z]+):.*## (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def readme() -> str:
    """Return README.md with its generated parts as they should be."""
    parts = {
        "diagram": _graph(_rows("dev")),
        "verbs": table(["command", "does"], [[f"`make {name}`", text] for name, text in verbs().items()]),
    }
    text = README.read_text()
    for name, lines in parts.items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        content = "\n".join([begin, *lines, end])
        text, replaced = pattern.subn(lambda _found, content=content: content, text)
        if replaced != 1:
            raise ValueError(f"README.md: needs exactly one part between {begin} and {end}")
    return text


def _generated(source: str) -> str:
    return f"`make docs` writes this page from {source}; an edit here is lost."


@cache
def pages() -> dict[Path, str]:
    """Return every file with generated content, and what it should say."""
    return {
        README: readme(),
        ROOT / "docs" / "settings.md": settings_page(),
        ROOT / "docs" / "connections.md": connections_page(),
        ROOT / "docs" / "compliance.md": compliance.compliance_page(),
        **of_policies.pages(),
    }


def left_over() -> set[Path]:
    """Return the pages of policies that are of no family any more."""
    return set((ROOT / links.PAGES).glob("*.md")) - pages().keys()


if __name__ == "__main__":
    for file in left_over():
        file.unlink()
    for file, text in pages().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        print(file.relative_to(ROOT))
