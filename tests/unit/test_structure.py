"""The structure stays easy to see: small files, no import cycles, the diagram in one screen."""

import ast
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

from tests.render import ROOT

CODE = ("components", "policies", "local", "workload", "images", "bench")
LONGEST_FILE = 250
LONGEST_MAIN = 60


def sources() -> list[Path]:
    return [ROOT / "__main__.py", *(file for folder in CODE for file in sorted((ROOT / folder).rglob("*.py")))]


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_main_is_one_screen() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) <= LONGEST_MAIN


def test_files_are_short() -> None:
    long = {
        str(file.relative_to(ROOT)): n for file in sources() if (n := len(file.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}


def test_imports_have_no_cycle() -> None:
    names = {module_name(file) for file in sources()}
    graph: dict[str, set[str]] = {}
    for file in sources():
        wanted: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= (inner & names) or {node.module}
        graph[module_name(file)] = (wanted & names) - {module_name(file)}
    assert list(TopologicalSorter(graph).static_order())


def test_components_do_not_read_the_stack_or_the_configuration() -> None:
    for file in sorted((ROOT / "components").glob("*.py")):
        text = file.read_text()
        if file.name != "settings.py":
            assert "get_stack" not in text, file
            assert "pulumi.Config" not in text, file


def test_no_resource_is_made_inside_an_apply() -> None:
    """Such a resource is absent from every preview."""
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "apply":
                inner = [call for argument in node.args for call in ast.walk(argument) if isinstance(call, ast.Call)]
                assert not any(isinstance(c.func, ast.Attribute) and c.func.attr[0].isupper() for c in inner), file


def test_no_registry_host_and_no_machine_path_is_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    forbidden = [
        "files.python" + "hosted",
        "pypi" + ".org",
        "proxy.golang" + ".org",
        "deb.debian" + ".org",
        "/root" + "/",
        "/work" + "/main",
    ]
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if file.is_file():
            text = file.read_text(errors="ignore")
            assert not [word for word in forbidden if word in text], name
