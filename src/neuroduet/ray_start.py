"""Ray for the time of some work: a cluster's, or one of this machine alone."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ray

from neuroduet.errors import UserError

STORE_BYTES = 100 * 2**20
"""Ray's shared memory: work reads its data itself, and Ray would take a third of it all."""

ANSWER_S = 10.0
"""Time in which a cluster must answer."""

AUTHENTICATION = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Nothing is sent anywhere, and GPUs stay visible as they were."""


@contextmanager
def local_ray(cpus: int) -> Iterator[None]:
    """A Ray of this machine alone, which only this process and its workers may use.

    Args:
        cpus: CPU threads that work may have.

    Raises:
        UserError: It does not start.
    """
    with environment(QUIET), _short_folder() as folder:
        _use_own_token()
        try:
            _start_twice(cpus, folder)
            yield
        finally:
            ray.shutdown()


@contextmanager
def joined_ray(address: str) -> Iterator[None]:
    """The Ray of a cluster.

    Args:
        address: ``host:port``, or ``auto`` for the one of this machine.

    Raises:
        UserError: It cannot be reached.
    """
    with environment(QUIET):
        try:
            _join(address)
            yield
        finally:
            ray.shutdown()


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a time; those that the user set stay.

    Args:
        values: Their names and values.
    """
    added = {key: value for key, value in values.items() if key not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            os.environ.pop(key, None)


def _start_twice(cpus: int, folder: Path) -> None:
    try:
        _start(cpus, folder)
    except RuntimeError:
        # On a busy machine Ray's own processes may need longer than it waits for them.
        ray.shutdown()
        try:
            _start(cpus, folder)
        except RuntimeError as error:
            raise UserError(
                f"Ray does not start on this machine ({' '.join(str(error).split())}); try again "
                "when fewer programs run, or use one worker"
            ) from None


def _start(cpus: int, folder: Path) -> None:
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _temp_dir=str(folder),
    )


def _use_own_token() -> None:
    """Let only this process and its workers use its Ray; what the user set stays.

    Without one, Ray would save a token in the home folder. It keeps the first for the life of the
    process, and so do we; that tokens are asked for at all it decides itself, when imported.
    """
    if not any(key in os.environ for key in AUTHENTICATION):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _join(address: str) -> None:
    try:
        if address != "auto":  # Ray would try for minutes where nobody answers
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"no Ray cluster at '{address}' lets us in ({reason}); give host:port of one that is "
            "running, with its token (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH) if it has one, "
            "or leave --address out to use this machine"
        ) from None


@contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for Ray's sockets, whose names may have a hundred letters: not in a deep one."""
    place = "/tmp" if os.name == "posix" else None
    folder = Path(tempfile.mkdtemp(prefix=f"nd-{os.getpid()}-", dir=place))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
