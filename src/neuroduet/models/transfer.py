"""A new session's output stitcher, read off a pretrained core instead of learned from scratch.

With activity hidden, the core turns behaviour into latents that mean the same in every session; a
core without behaviours does so with the activity of other units. What is left is one small Poisson
regression per unit, and the units of the pretrained sessions say what to expect of its weights (an
empirical Bayes prior).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from neuroduet.data.session import Session
from neuroduet.masking import PROMPTS, hide, to_masks
from neuroduet.models.initialise import set_rows
from neuroduet.models.translator import Translator
from neuroduet.nn.stitch import module_key
from neuroduet.types import NEURAL

CHUNK = 64
FOLDS = 5
ITERATIONS = 60


@dataclass(frozen=True, kw_only=True)
class LoadingPrior:
    """What the loadings of a unit are expected to be, from the units of pretrained sessions."""

    mean: Float[np.ndarray, " R"]
    covariance: Float[np.ndarray, "R R"]


def adapt_stitchers(source: Translator, target: Translator, sessions: Sequence[Session]) -> None:
    """Give new sessions the output stitchers and session vectors that suit a pretrained core.

    Args:
        source: The pretrained model.
        target: Model of the new sessions, with the core copied and the sessions set up.
        sessions: The new sessions.
    """
    prior = loading_prior(source)
    usual = torch.stack([p.detach() for p in source.session_vectors.values()]).mean(0)
    stitches = [source.input_stitch(name) for name in source.session_infos]
    noise = torch.stack([stitch.log_noise.detach() for stitch in stitches]).mean()
    for session in sessions:
        with torch.no_grad():
            target.session_vectors[module_key(session.info.id)].copy_(usual)
            target.input_stitch(session.info.id).log_noise.copy_(noise)
        fit_outputs(target, session, prior)


def loading_prior(model: Translator) -> LoadingPrior:
    """Mean and covariance of the loadings over all units of a model's sessions."""
    rows = [model.loadings(session).detach().cpu() for session in model.session_infos]
    loadings = torch.cat(rows).double().numpy()
    if len(loadings) == 1:  # a single unit says how large loadings are, not how they differ
        loadings = np.concatenate([loadings, -loadings])
    covariance = np.atleast_2d(np.cov(loadings.T))
    floor = 1e-3 * np.trace(covariance) / len(covariance) + 1e-12
    return LoadingPrior(
        mean=loadings.mean(0), covariance=covariance + floor * np.eye(len(covariance))
    )


def fit_outputs(model: Translator, session: Session, prior: LoadingPrior) -> None:
    """Set a session's loadings and biases to their best guess given the core.

    Args:
        model: Model with a pretrained core and a set-up stitcher for the session.
        session: The session; only its training windows are read.
        prior: What to expect of the loadings.
    """
    stitch, units = model.output_stitch(session.info.id), len(session.info.units)
    fitted = model.loadings(session.info.id).detach().clone()
    # With behaviours, all units from behaviour; without, every unit from the other ones.
    folds = 1 if model.modalities else min(FOLDS, units)
    for fold in range(folds):
        hidden = torch.arange(units) % folds == fold
        latents, activity = _encoded(model, session, hidden)
        centre = latents.mean(0)
        if not session.info.is_poisson:
            scaled = (activity - stitch.centre[hidden].numpy()) / stitch.scale[hidden].numpy()
            loadings, bias = gaussian_map(latents - centre, scaled, prior), scaled.mean(0)
        else:
            loadings, bias = poisson_map(latents - centre, activity, prior)
        with torch.no_grad():
            fitted[hidden] = torch.as_tensor(loadings).float()
            stitch.bias[hidden] = torch.as_tensor(bias - loadings @ centre).float()
    weight = model.input_weight(session.info.id).detach()
    if model.units is not None:
        # What varies most is another latent in every session; those of the core are in loadings.
        weight = weight[:, : model.units.own]
    set_rows(model, session.info.id, weight, fitted)


def poisson_map(
    latents: Float[np.ndarray, "M R"], counts: Float[np.ndarray, "M N"], prior: LoadingPrior
) -> tuple[Float[np.ndarray, "N R"], Float[np.ndarray, " N"]]:
    """Most probable loadings and biases of Poisson units with log-rate ``latents @ u + b``.

    Newton steps with the diagonal of the curvature, in the coordinates that make it diagonal at
    the mean rate for all units at once. Every unit has a step length of its own, which shrinks
    until its posterior rises: no unit can run away, however few its spikes.

    Args:
        latents: Centred latents of M bins.
        counts: Spike counts.
        prior: Gaussian prior of the loadings; the bias is free.

    Returns:
        Loadings and biases.
    """
    mean = counts.mean(0)
    root = np.linalg.cholesky(prior.covariance)
    design = latents @ root
    _, vectors = np.linalg.eigh(design.T @ design)
    design = design @ vectors
    squares, sums = design**2, counts.T @ design
    # In these coordinates the prior has covariance 1.
    start = vectors.T @ np.linalg.solve(root, prior.mean)
    weights = np.tile(start, (counts.shape[1], 1))
    shape, log_mean = _normalised(design @ weights.T)
    posterior = _posterior(weights, start, sums, mean, log_mean, len(counts))
    length = np.ones(len(weights))
    for _ in range(ITERATIONS):
        rates = shape * mean
        gradient = sums - rates.T @ design - (weights - start)
        proposed = weights + length[:, None] * gradient / (rates.T @ squares + 1.0)
        new_shape, new_log_mean = _normalised(design @ proposed.T)
        risen = _posterior(proposed, start, sums, mean, new_log_mean, len(counts))
        better = risen >= posterior
        weights = np.where(better[:, None], proposed, weights)
        shape = np.where(better, new_shape, shape)
        log_mean = np.where(better, new_log_mean, log_mean)
        posterior = np.where(better, risen, posterior)
        length = np.where(better, np.minimum(1.25 * length, 1.0), 0.4 * length)
    bias = np.log(np.maximum(mean, 0.5 / len(counts))) - log_mean
    return weights @ (root @ vectors).T, bias


def _normalised(
    drive: Float[np.ndarray, "M N"],
) -> tuple[Float[np.ndarray, "M N"], Float[np.ndarray, " N"]]:
    """Exponential of the drive divided by its mean over bins, and the log of that mean."""
    highest = drive.max(0)
    grown = np.exp(drive - highest)
    mean = grown.mean(0)
    return grown / mean, highest + np.log(mean)


def _posterior(
    weights: Float[np.ndarray, "N R"],
    start: Float[np.ndarray, " R"],
    sums: Float[np.ndarray, "N R"],
    mean: Float[np.ndarray, " N"],
    log_mean: Float[np.ndarray, " N"],
    bins: int,
) -> Float[np.ndarray, " N"]:
    """Log posterior of each unit at its best bias, up to a constant."""
    data = (sums * weights).sum(1) - bins * mean * log_mean
    return data - 0.5 * ((weights - start) ** 2).sum(1)


def gaussian_map(
    latents: Float[np.ndarray, "M R"], values: Float[np.ndarray, "M N"], prior: LoadingPrior
) -> Float[np.ndarray, "N R"]:
    """Most probable loadings of units with unit Gaussian noise."""
    precision = np.linalg.inv(prior.covariance)
    centred = values - values.mean(0)
    target = latents.T @ centred + (precision @ prior.mean)[:, None]
    return np.linalg.solve(latents.T @ latents + precision, target).T


@torch.inference_mode()
def _encoded(
    model: Translator, session: Session, hidden: Bool[Tensor, " N"]
) -> tuple[Float[np.ndarray, "M R"], Float[np.ndarray, "M N"]]:
    """Latents with some units hidden, and their activity, of all valid training bins."""
    latents, activity = [], []
    model.eval()
    windows = session.indices("train")
    prompt = PROMPTS.index("neuron")
    for start in range(0, len(windows), CHUNK):
        batch = session.batch(windows[start : start + CHUNK])
        visible = to_masks(batch, hide(batch, {}) | {NEURAL: hidden[None, None]}).visible
        asked = torch.full((len(batch.windows),), prompt)
        latents.append(model.latents(batch, visible, asked)[batch.valid])
        activity.append(batch.activity[batch.valid][:, hidden])
    model.train()
    return torch.cat(latents).double().numpy(), torch.cat(activity).double().numpy()
