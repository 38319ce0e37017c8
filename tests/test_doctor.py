from __future__ import annotations

import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from neuroduet import cli, doctor


@pytest.mark.parametrize(
    ("version", "good"), [((3, 9), False), ((3, 10), True), ((3, 13), True), ((3, 14), False)]
)
def test_supported_pythons_pass(version: tuple[int, int], good: bool) -> None:
    finding = doctor.check_python(version)
    assert (finding.remedy == "") is good


def test_a_missing_package_comes_with_its_remedy() -> None:
    finding = doctor.check_package("no-such-package-at-all")
    assert finding.found == "missing"
    assert "pip install" in finding.remedy


def test_a_full_disk_comes_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage(100, 99, 2**30))
    finding = doctor.check_disk(Path())
    assert finding.found == "1.0 GiB free"
    assert finding.remedy


def test_more_threads_than_cores_come_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "cpu_count", lambda: 0)
    assert doctor.check_threads().remedy == "" or "1" in doctor.check_threads().remedy
    import torch

    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    assert "OMP_NUM_THREADS to at most 1" in doctor.check_threads().remedy


def test_the_rest_is_not_tried_without_its_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package-at-all",))
    assert [finding.check for finding in doctor.examine()] == ["python", "no-such-package-at-all"]


def test_this_machine_is_described() -> None:
    findings = {finding.check: finding for finding in doctor.examine(training=False)}
    assert set(findings) == {
        "python",
        *doctor.PACKAGES,
        "device",
        "threads",
        "bf16",
        "memory",
        "disk",
    }
    assert all(finding.found for finding in findings.values())


def test_a_training_that_fails_is_reported_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: object) -> None:
        raise RuntimeError("no luck")

    for module, function in (
        ("neuroduet.simulate", "simulate"),
        ("neuroduet.training.fit", "train"),
        ("neuroduet.training.runs", "load_run"),
    ):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{function: fail}))
    finding = doctor.check_training()
    assert finding.found == "failed: RuntimeError: no luck"
    assert "--debug doctor" in finding.remedy


@pytest.mark.parametrize(("remedy", "code"), [("", 0), ("do this", 1)])
def test_the_command_fails_where_something_is_wrong(
    remedy: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [doctor.Finding(check="disk", found="some", remedy=remedy)]
    monkeypatch.setattr(doctor, "examine", lambda: found)
    assert cli.main(["doctor"]) == code


def test_a_small_model_trains_in_a_moment(caplog: pytest.LogCaptureFixture) -> None:
    finding = doctor.check_training()
    assert finding.remedy == "", finding.found
    assert finding.found.startswith("a small model trained in ")
    assert not caplog.records  # warnings of its own data would worry whoever reads them
