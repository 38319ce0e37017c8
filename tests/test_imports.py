"""What may import what, read from the syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "neuroduet"
FILES = sorted(PACKAGE.rglob("*.py"))

ROOMS = (
    {"errors", "types"},
    {"atomic", "migration", "plugins"},
    {"plain"},
    {"settings"},
    {"config", "catalogue", "ray_start", "remote", "terminal"},
    {"presets", "data", "sharing"},
    {"simulate", "ingest"},
    {"masking"},
    {"nn"},
    {"models", "baselines", "actions"},
    {"losses", "losses_published", "metrics"},
    {"training"},
    {"tasks"},
    {"benchmark", "conversions", "estimators", "export"},
    {"report", "view"},
    {"demo", "doctor", "console", "options"},
    {"cli"},
)
"""A room imports itself and the rooms of earlier lines."""

DOORS = {"__init__", "__main__"}
"""The package's own face: it names everything, lazily, and nobody imports it."""

FORBIDDEN = {"nlb_tools", "ssm", "ibllib", "einops", "torchtyping", "poyo", "brainbox"}
EXECUTES = {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
ONLY_IN = {
    "lightning": {"training"},
    "matplotlib": {"report"},
    "typer": {"cli", "options"},
    "rich": {"console", "report", "terminal"},
}
"""Packages that only the shell may touch, and where."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of everything imported, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def tree_of(path: Path) -> ast.AST:
    return ast.parse(path.read_text(), filename=str(path))


def name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_room_has_its_place_in_the_order() -> None:
    known = set().union(*ROOMS) | DOORS
    assert {room_of(path) for path in FILES} <= known


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_forward(path: Path) -> None:
    room = room_of(path)
    if room in DOORS:
        return
    rank = {one: index for index, line in enumerate(ROOMS) for one in line}
    for target in imported(tree_of(path)):
        parts = target.split(".")
        if parts[0] != "neuroduet" or len(parts) == 1 or target == "neuroduet.__version__":
            continue
        later = rank[parts[1]] >= rank[room] and parts[1] != room
        assert not later, f"{name(path)} imports {target}, which comes later"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_packages_stay_where_they_belong(path: Path) -> None:
    for target in imported(tree_of(path)):
        package = target.split(".")[0]
        assert package not in FORBIDDEN | EXECUTES, f"{name(path)} imports {package}"
        rooms = ONLY_IN.get(package, {room_of(path)})
        assert room_of(path) in rooms, f"{package} belongs in {rooms}, not in {name(path)}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_prints_or_executes_what_it_reads(path: Path) -> None:
    for function, call in called(tree_of(path)):
        assert function not in {"print", "eval", "exec"}, f"{name(path)} calls {function}"
        assert function not in {"torch.load", "torch.save", "yaml.load"}, (
            f"{name(path)}: {function}"
        )
        if function in {"np.load", "numpy.load"}:
            keywords = {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert keywords.get("allow_pickle") == "False", f"{name(path)}: np.load"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_of_a_size_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500
    assert path.stem not in {"utils", "helpers", "misc", "common"}


def test_importing_the_package_pulls_nothing_heavy() -> None:
    heavy = ("torch", "lightning", "matplotlib", "numpy", "pandas", "torch_brain", "rich")
    code = f"import sys, neuroduet; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_public_names_are_those_the_type_checker_sees() -> None:
    import neuroduet

    block = next(
        node
        for node in ast.parse((PACKAGE / "__init__.py").read_text()).body
        if isinstance(node, ast.If)
    )
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {name for name, module in seen.items() if module == "neuroduet"}
    assert modules == neuroduet._MODULES
    assert {name: seen[name] for name in seen.keys() - modules} == neuroduet._HOMES
    assert sorted(seen) == sorted(neuroduet.__all__)


def test_every_public_name_exists() -> None:
    import neuroduet

    for public in neuroduet.__all__:
        found = getattr(neuroduet, public)
        assert isinstance(found, ModuleType) == (public in neuroduet._MODULES), public
    assert set(neuroduet.__all__) | {"__version__"} == set(dir(neuroduet))


def test_what_every_example_needs_is_there_after_one_import() -> None:
    code = (
        "import neuroduet\n"
        "config = neuroduet.override(neuroduet.presets.duet(), 'model.width=64')\n"
        "print(config.model.width, neuroduet.PRESETS['duet']().model.width)\n"
        "print(neuroduet.config.Config is neuroduet.Config, neuroduet.actions.__name__)\n"
        "import neuroduet.export\n"
        "print(callable(neuroduet.export), callable(neuroduet.ingest.plan))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [
        "64", "128", "True", "neuroduet.actions", "True", "True"
    ]  # fmt: skip


def test_an_unknown_name_is_an_attribute_error() -> None:
    import neuroduet

    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = neuroduet.trian


def test_the_function_simulate_is_not_hidden_by_its_module() -> None:
    code = (
        "import neuroduet.simulate, neuroduet\n"
        "from neuroduet.simulate import simulate_session\n"
        "print(neuroduet.simulate.__name__, callable(neuroduet.simulate))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["simulate", "True"]
