"""Averages and sums over time within windows; nothing crosses a window's edge."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def smooth(
    values: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"], sigma_bins: float
) -> Float[Tensor, "B T F"]:
    """Gaussian average over the valid bins of each window.

    Args:
        values: Any signal, ``(B, T, F)``.
        valid: Which bins exist, ``(B, T)``.
        sigma_bins: Standard deviation of the Gaussian (bins); 0 for no smoothing.

    Returns:
        Weighted means of the bins that exist, so that a constant stays constant up to the edges;
        0 where a bin does not exist.
    """
    weights = valid.to(values.dtype)
    if sigma_bins <= 0:
        return values * weights[:, :, None]
    bins = torch.arange(values.shape[1], dtype=values.dtype)
    kernel = torch.exp(-0.5 * ((bins[:, None] - bins[None, :]) / sigma_bins) ** 2)
    sums = kernel @ (values * weights[:, :, None])
    return sums * (weights / (weights @ kernel).clamp_min(1e-12))[:, :, None]


def lagged(
    values: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"], lags: tuple[int, ...]
) -> Float[Tensor, "B T L F"]:
    """The signal at each bin plus each lag.

    Args:
        values: Any signal, ``(B, T, F)``.
        valid: Which bins exist, ``(B, T)``; padding stands at the end of a window.
        lags: Lags (bins); a positive lag looks into the future.

    Returns:
        ``(B, T, L, F)``; beyond a window's edge its first or last value is repeated.
    """
    last = bins_up_to_last(valid) - 1
    bins = torch.arange(values.shape[1])[:, None] + torch.tensor(lags)[None, :]
    index = torch.minimum(bins.clamp_min(0)[None], last[:, None, None])
    return values[torch.arange(len(values))[:, None, None], index]


def window_means(
    values: Float[Tensor, "B T F"], valid: Bool[Tensor, "B T"], parts: int
) -> Float[Tensor, "B P F"]:
    """Means over equal parts of each window's own bins.

    Args:
        values: Any signal, ``(B, T, F)``.
        valid: Which bins exist, ``(B, T)``; padding stands at the end of a window.
        parts: Number of parts P.

    Returns:
        Mean per bin, ``(B, P, F)``; 0 for a part that no bin falls into.
    """
    bins = torch.arange(values.shape[1])
    part = bins[None, :] * parts // bins_up_to_last(valid)[:, None]
    members = (part[:, None, :] == torch.arange(parts)[None, :, None]) & valid[:, None, :]
    weights = members.to(values.dtype)
    return (weights @ values) / weights.sum(dim=2, keepdim=True).clamp_min(1.0)


def bins_up_to_last(valid: Bool[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """Bins of each window without its padding; bins that were not recorded may lie among them."""
    return (valid * torch.arange(1, valid.shape[1] + 1)).amax(dim=1).clamp_min(1)
