"""Every example of a docstring gives what it says it gives."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
WITH_EXAMPLES = [
    path.relative_to(SOURCE)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.as_posix())
def test_the_examples_of_docstrings_hold(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    # As a reader calls them: the shape checks of the tests take no whole number for a float.
    known = {
        key: inspect.unwrap(x) if inspect.isfunction(x) else x
        for key, x in vars(importlib.import_module(name)).items()
    }
    # Not `doctest.testmod`: it passes over functions that the shape checks of the tests wrap.
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(verbose=False)
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text = ast.get_docstring(node) or ""
            runner.run(parser.get_doctest(text, known.copy(), name, str(path), 0))
    found = runner.summarize(verbose=False)
    assert found.failed == 0
    assert found.attempted > 0
