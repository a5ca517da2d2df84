"""Custom resources checked as the API server would, against the definitions that are applied to it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from tests.render import Manifest


@functools.cache
def schemas(definitions: Path) -> Mapping[tuple[str, str], Any]:
    """Return the schema of each apiVersion and kind that a directory defines, with unknown fields refused; read only once."""
    found: dict[tuple[str, str], Any] = {}
    for file in definitions.glob("*.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = _strict(schema)
    return found


def validate(manifest: Manifest, known: Mapping[tuple[str, str], Any]) -> None:
    """Raise jsonschema.ValidationError unless the manifest is as its definition says; KeyError without a definition."""
    jsonschema.validate(manifest, known[manifest["apiVersion"], manifest["kind"]])


def _strict(schema: Any) -> Any:
    """Refuse what is not listed wherever something is; the API server drops it without a word."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    strict: dict[str, Any] = {key: _strict(value) for key, value in schema.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
