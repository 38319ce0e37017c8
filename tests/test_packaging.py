"""What is in the package, what it needs, and what the workflows call."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="Python 3.10 reads TOML with tomli")

PROJECT = Path(__file__).resolve().parents[1]
SOURCES = sorted((PROJECT / "src" / "neuroduet").rglob("*.py"))
DISTRIBUTIONS = {
    "huggingface_hub": "huggingface-hub",
    "one": "one-api",
    "sklearn": "scikit-learn",
    "torch_brain": "torch-brain",
    "yaml": "pyyaml",
}
"""Where the name to install is not the name to import."""

OF_EXTRAS = {"ray_start.py": {"ray"}, "tuning.py": {"ray"}}
"""Modules that are all about an optional package."""


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Top-level names of other packages, and whether a function imports them."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            names = [child.module or ""]
        else:
            lazy = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports(child, lazy)
            continue
        for name in names:
            top = name.split(".")[0]
            if top not in sys.stdlib_module_names and top != "neuroduet":
                yield DISTRIBUTIONS.get(top, top), inside


def test_everything_imported_at_once_is_a_core_dependency(project: dict[str, Any]) -> None:
    core = {name_of(one) for one in project["dependencies"]}
    for path in SOURCES:
        found = {name for name, inside in imports(ast.parse(path.read_text())) if not inside}
        found -= OF_EXTRAS.get(path.name, set())
        assert found <= core, f"{path.name} imports {found - core}"


def test_modules_of_an_extra_are_imported_in_functions_only() -> None:
    for path in SOURCES:
        if path.name in OF_EXTRAS:
            continue
        text = path.read_text(encoding="utf-8")
        for name in OF_EXTRAS:
            module = name.removesuffix(".py")
            assert not re.search(rf"^(from|import) .*\b{module}\b", text, re.MULTILINE), path


def test_everything_imported_in_a_function_is_in_core_or_an_extra(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    known = {name_of(one) for one in project["dependencies"]}
    known |= {name_of(one) for name, part in extras.items() if name != "dev" for one in part}
    known |= {"hdmf", "remfile"}  # of pynwb
    for path in SOURCES:
        found = {name for name, _ in imports(ast.parse(path.read_text()))}
        assert found <= known, f"{path.name} imports {found - known}"


def test_every_core_dependency_is_imported(project: dict[str, Any]) -> None:
    used = {name for path in SOURCES for name, _ in imports(ast.parse(path.read_text()))}
    core = {name_of(one) for one in project["dependencies"]}
    # Lightning's logger writes with it.
    assert core - used <= {"tensorboard"}


def test_extras_that_messages_name_exist(project: dict[str, Any]) -> None:
    named = {
        extra
        for path in SOURCES
        for extra in re.findall(r"neuroduet\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert {"hub", "nwb"} <= named
    assert named <= project["optional-dependencies"].keys()


def test_the_extra_for_development_holds_all_others(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    for name in ("ibl", "nwb", "pynapple", "hub", "xarray"):
        assert set(extras[name]) <= set(extras["dev"]), name


def test_the_versions_of_python_are_the_same_everywhere(project: dict[str, Any]) -> None:
    found = [
        match[1]
        for one in project["classifiers"]
        if (match := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one))
    ]
    assert found == ["3.10", "3.11", "3.12", "3.13"]
    assert project["requires-python"] == ">=3.10,<3.14"
    jobs = workflow("ci")["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == found


def test_the_program_is_installed_under_its_name() -> None:
    (script,) = entry_points(group="console_scripts", name="neuroduet")
    assert script.value == "neuroduet.cli:main"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    pytest.importorskip("hatchling", reason="building needs hatchling: pip install hatchling")
    out = tmp_path_factory.mktemp("dist")
    for target in ("wheel", "sdist"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)],
            cwd=PROJECT,
            check=True,
            capture_output=True,
        )
    return out


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith("METADATA"))
        said = wheel.read(metadata).decode()
    folder = PROJECT / "src"
    files = {
        file.relative_to(folder).as_posix()
        for file in (folder / "neuroduet").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    own = {name for name in names if ".dist-info/" not in name}
    assert own == files
    assert {"neuroduet/py.typed", "neuroduet/training/templates/card.md"} <= own
    assert any(name.endswith("/LICENSE") for name in names)
    assert "Provides-Extra: hub" in said
    assert path.stat().st_size < 5_000_000


def test_the_source_archive_holds_no_data_and_no_leftovers(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "src/neuroduet/py.typed"} <= names
    tops = {name.split("/")[0] for name in names}
    assert not tops & {"demo", "runs", "site", ".venv", ".git", ".ci", ".github"}
    assert path.stat().st_size < 5_000_000


def workflow(name: str) -> dict[str, Any]:
    path = PROJECT / ".github" / "workflows" / f"{name}.yml"
    # YAML 1.1 reads the key `on` as a truth value.
    text = re.sub(r"^on:", '"on":', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return yaml.safe_load(text)


WORKFLOWS = ("ci", "docs", "release")


def test_these_are_all_workflows() -> None:
    found = {path.stem for path in (PROJECT / ".github" / "workflows").iterdir()}
    assert found == set(WORKFLOWS)


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_do_as_little_as_possible(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] in ({}, {"contents": "read"})
    assert found["concurrency"]["group"]
    for job in found["jobs"].values():
        assert job["timeout-minutes"] <= 60
        writes = {key for key, value in job.get("permissions", {}).items() if value == "write"}
        assert writes <= {"pages", "id-token"}
        assert not (writes and name == "ci")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_to_a_version(name: str) -> None:
    uses = [step["uses"] for step in steps(name) if "uses" in step]
    assert uses
    for use in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@(v\d+|release/v\d+)", use), use
        if use.startswith("actions/checkout"):
            step = next(one for one in steps(name) if one.get("uses") == use)
            assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("name", WORKFLOWS)
def test_what_a_workflow_makes_the_makefile_can(name: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    text = "\n".join(step.get("run", "") for step in steps(name))
    called = set(re.findall(r"\bmake ([a-z]+)", text))
    assert called <= targets
    assert called or name == "release"
    # Text from outside must not become a part of a command.
    assert "${{ github.event" not in text


def test_the_continuous_integration_lints_and_tests() -> None:
    text = "\n".join(step.get("run", "") for step in steps("ci"))
    assert {"make lint", "make test"} <= set(re.findall(r"make \w+", text))


def test_the_image_runs_as_a_user_of_its_own() -> None:
    lines = (PROJECT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and line[0] not in "# \t"]
    assert ["ENTRYPOINT", '["neuroduet"]'] in words
    users = [rest for key, *rest in words if key == "USER"]
    assert users == [["neuroduet"]]
    images = [rest[0].split()[0] for key, *rest in words if key == "FROM"]
    assert all(re.fullmatch(r"python:3\.1[0-3]-slim\S*|build", one) for one in images)
    copied = [rest[0] for key, *rest in words if key == "COPY" and "--from" not in rest[0]]
    for source in " ".join(copied).split():
        if not source.startswith(("/", ".")):
            assert (PROJECT / source).exists(), source
    ignored = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    assert {"!src", "!pyproject.toml", "!constraints.txt", "!README.md", "!LICENSE"} <= set(
        ignored
    )
