r"""A world with known ground truth: an IBL-like decision task and neurons that follow it.

Trials, bins and units are indexed ``w``, ``t`` and ``n``. The log-rate of a unit is

.. math::
    \log \lambda_n(w, t) = \min(\log b_n + g_n^\top F(w, t),\ \log \lambda_{max})
        + p_n^\top z_{r(n)}(w, t) + d_n^\top a(w)

* ``F``: :data:`~neuroduet.simulate.features.FEATURES`, functions of wheel, whisker, choice and
  block of that trial alone: lagged, saturating and smoothed wheel and whisker, Gaussian tuning to
  wheel speed, gates (whisker x choice, wheel x block, choice x block, whisker at rest), choice
  signals locked to movement onset (whose time varies between trials), block before the stimulus,
  and a response to the stimulus. They mean the same in every animal.
  The world's ``nonlinear`` mixes each feature with a counterpart ``L`` that is linear in lagged
  behaviour, time, choice x time and block x time:
  ``F = (1 - nonlinear) L + nonlinear F*``, standardised over a reference population of trials.
  At 0 a log-linear lagged regression can reach the bound, at 1 it cannot.
* ``g_n``: loadings, proportional to ``effect * (c m_r + sqrt(1 - c^2) noise)``: each region ``r``
  has a mean pattern ``m_r``, the same in all animals, around which its units scatter. Their length
  is such that behaviour moves a typical unit's log-rate by the same amount in every world.
* ``z_r``: two or three private latents per region, stationary AR(1) of unit variance with time
  constants of 100-300 ms; ``a``: two slow Ornstein-Uhlenbeck processes of the session (tens of
  seconds). Both are Gaussian and independent of behaviour, hence exactly

.. math::
    E[\lambda_n \mid behaviour] = \min(b_n e^{g_n^\top F}, \lambda_{max})\,
        e^{(|p_n|^2 + |d_n|^2) / 2}

``b_n`` is log-normal (median about 2 Hz, 0.3-30 Hz); some units are silent. Spike counts are
Poisson per bin, and spikes lie uniformly in their bin. What all animals share depends on the seed
alone, a session on (seed, index, size): asking for more sessions changes none of the others.

Whisker motion energy is missing in a few trials of every session and altogether in every fifth
session (index 4, 9, ...). Neurons follow it all the same: there the stored expectation given
behaviour is that of somebody who saw the whisker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch_brain.data import Data

Size = Literal["tiny", "small", "medium"]


def simulate(
    out: Path | str,
    sessions: int,
    seed: int,
    size: Size = "small",
    nonlinear: float = 1.0,
    memory: float = 1.0,
    report: Callable[[int, int, float], None] = lambda done, total, value: None,
) -> list[Path]:
    """Write one recording per session, ``<session id>.h5``, each of another animal.

    Sessions are named by their index alone: ``animal00-session0`` of another seed is another
    animal, which belongs in another folder and which no run of the first one will take for it.

    Args:
        out: Folder for the recordings; made if it does not exist.
        sessions: How many sessions, at least 1.
        seed: Seed of the world, at least 0.
        size: ``tiny`` (60 trials, 20-40 units), ``small`` (150, 60-150) or ``medium``
            (350, 350-490).
        nonlinear: From 0 (log-linear in lagged behaviour) to 1.
        memory: Factor on the time constants of the private latents, above 0; 100-300 ms at 1.
        report: Told how many sessions are written, of how many, and NaN.

    Returns:
        The files, in the order of the session index.

    Raises:
        UserError: If an argument is out of range, or ``out`` is a file.
    """
    from neuroduet.data.recording import save
    from neuroduet.errors import UserError, as_path

    if sessions < 1:
        raise UserError(f"cannot simulate {sessions} sessions; ask for at least 1")
    folder = as_path(out, "out")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, but recordings need a folder; name another one")
    paths = []
    for index in range(sessions):
        recording = simulate_session(
            seed=seed, index=index, size=size, nonlinear=nonlinear, memory=memory
        )
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{recording.session.id}.h5"
        save(recording, path)
        paths.append(path)
        report(len(paths), sessions, float("nan"))
    return paths


def simulate_session(
    *, seed: int, index: int, size: Size = "small", nonlinear: float = 1.0, memory: float = 1.0
) -> Data:
    """Simulate one session in memory.

    Args:
        seed: Seed of the world, at least 0.
        index: Which session of the world, at least 0.
        size: As in :func:`simulate`.
        nonlinear: As in :func:`simulate`.
        memory: As in :func:`simulate`.

    Returns:
        The recording, with the true rates in its group ``truth``.

    Raises:
        UserError: If an argument is out of range.
    """
    from neuroduet.simulate.session import draw_session, to_recording

    session = draw_session(seed=seed, index=index, size=size, nonlinear=nonlinear, memory=memory)
    return to_recording(session)
