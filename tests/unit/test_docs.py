"""The documentation says what is so: generated parts are current; verbs, paths, settings and links exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings import Settings
from local.images import NAMES, recipe
from policies import links
from policies.rules import RULES
from tests import docs
from tests.render import ROOT

PAGES = [docs.README, *sorted((ROOT / "docs").rglob("*.md"))]
MADE = ("build/", "kubernetes.io/")
"""What looks like a path of the repository and is none: made at run time, or a label."""

_CODE = re.compile(r"`([^`\n]+)`")
_VERB = re.compile(r"(?:^|^sudo |\$\(|PATH\" )make ([a-z]+)(?=$|[ )])")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} | {".ci"}


def code(page: Path) -> Iterator[str]:
    """Yield what stands in backticks, and the indented lines that are commands."""
    text = _BLOCK.sub("", page.read_text())
    yield from _CODE.findall(text)
    yield from (line.strip() for line in text.splitlines() if line.startswith("    ") and line.strip())


@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: page.name)
def test_generated_parts_are_current(page: Path) -> None:
    assert page.exists(), f"{page.name} is missing; run `make docs`"
    assert page.read_text() == docs.pages()[page], f"{page.name} is stale; run `make docs`"


def test_every_rule_is_explained_where_it_says() -> None:
    for rule in RULES:
        page, _, anchor = links.page(rule).partition("#")
        assert f"\n## {anchor}\n" in docs.pages()[ROOT / page]


def test_no_page_is_left_of_policies_that_are_gone() -> None:
    assert docs.left_over() == set(), "run `make docs`"


def test_every_setting_says_what_it_means() -> None:
    assert [setting.key for setting in docs.settings() if not setting.meaning or not setting.default] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_verb_exists(page: Path) -> None:
    named = {verb for words in code(page) for verb in _VERB.findall(words)}
    assert named - set(docs.verbs()) == set()


def test_the_readme_names_every_verb() -> None:
    assert {f"make {verb}" for verb in docs.verbs()} - set(code(docs.README)) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_exists(page: Path) -> None:
    missing: list[str] = []
    for words in code(page):
        for word in re.split(r"[\s\"'=,()]+", words):
            relative = word.partition("::")[0]
            if relative.startswith(MADE) or not _is_path(relative):
                continue
            pattern = re.sub(r"\b(NAME|STACK|COMPONENT)\b", "*", relative)
            if not any(ROOT.glob(pattern.rstrip("/"))):
                missing.append(word)
    assert missing == []


def _is_path(word: str) -> bool:
    top, slash, _rest = word.partition("/")
    return bool(slash and top in _FOLDERS) or bool(re.fullmatch(r"[\w.]+\.(py|yaml|toml|lock|in|md)", word))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", _CODE.sub("", page.read_text()))
    assert [to for to in targets if "://" not in to and not (page.parent / to).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_named_exists(page: Path) -> None:
    known = {setting.key for setting in docs.settings()}
    groups = {key.rpartition(".")[0] for key in known}
    named = {
        words
        for words in code(page)
        if words.split(".")[0] in Settings.model_fields and re.fullmatch(r"[a-z_.\[\]]+\.[a-z_]+", words)
    }
    assert named - known - groups == set()
    keys = {words for words in code(page) if re.fullmatch(r"(platform|pulumi):[a-z-]+", words)}
    assert keys - docs.CONFIG_KEYS == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_stack_file_shown_would_be_accepted(page: Path) -> None:
    for kind, text in _BLOCK.findall(page.read_text()):
        if kind == "yaml" and page.parent.name != "policies":  # there they are changes to the fixtures' programs
            config: dict[str, Any] = yaml.safe_load(text)["config"]
            assert set(config) <= docs.CONFIG_KEYS
            tree = {"domain": "example.com", **config.get("platform:settings", {})}
            Settings.parse(json.dumps(tree), page.name, config.get("platform:images", {}))


def test_every_key_of_the_stack_files_is_documented() -> None:
    for file in ROOT.glob("Pulumi.*.yaml"):
        assert set(yaml.safe_load(file.read_text())["config"]) <= docs.CONFIG_KEYS


def test_every_decision_has_its_parts() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(file.name[:4]) for file in decisions] == list(range(1, len(decisions) + 1))
    for file in decisions:
        headings = re.findall(r"^## (.+)$", file.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Reopen if"], file.name


def test_a_docker_build_sees_what_the_dockerfiles_copy() -> None:
    shown = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in (*NAMES, *recipe.BASES.values()):
        for source in recipe.read(name).sources:
            assert any(source == path or source.startswith(f"{path}/") for path in shown), source
