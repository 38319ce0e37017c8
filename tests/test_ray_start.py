from __future__ import annotations

import os
from pathlib import Path

import pytest
import ray

from neuroduet.ray_start import AUTHENTICATION, _use_own_token, environment, local_ray


def test_a_ray_of_our_own_has_a_token_of_its_own_and_leaves_a_set_one_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key in AUTHENTICATION:
        monkeypatch.setenv(key, "")  # so that it is put back afterwards
        monkeypatch.delenv(key)
    _use_own_token()
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    _use_own_token()
    assert os.environ["RAY_AUTH_TOKEN"] == token
    for key in AUTHENTICATION:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/of/the/user")
    _use_own_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.slow
@pytest.mark.usefixtures("only_ray")
def test_a_ray_of_our_own_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with local_ray(2):
        assert ray.get(ray.remote(lambda: 3).remote()) == 3
    assert not ray.is_initialized()
    assert list(tmp_path.iterdir()) == []
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_variables_are_set_for_a_time_and_those_of_the_user_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ND_OF_THE_USER", "1")
    with environment({"ND_OF_THE_USER": "2", "ND_OURS": "3"}):
        assert os.environ["ND_OF_THE_USER"] == "1"
        assert os.environ["ND_OURS"] == "3"
    assert os.environ["ND_OF_THE_USER"] == "1"
    assert "ND_OURS" not in os.environ
