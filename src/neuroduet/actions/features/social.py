"""How animals stand and move to each other, for every ordered and every unordered pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from neuroduet.actions.features.blocks import Block, numbered
from neuroduet.actions.features.geometry import Bodies, rotate_into
from neuroduet.actions.features.kinematics import compress
from neuroduet.actions.features.motion import compute_velocity


def social_blocks(bodies: Bodies, spans: Sequence[int]) -> list[Block]:
    """All features of pairs."""
    return [*directed_blocks(bodies), *mutual_blocks(bodies, spans)]


def directed_blocks(bodies: Bodies) -> list[Block]:
    """How one animal sees and approaches the other.

    Where the other's keypoints are in the animal's own frame (ahead; to the side, either one),
    how far its own front is from them, and how fast it moves towards the other and past it.
    """
    me, other = _ordered_pairs(bodies.points.shape[1])
    offset = bodies.centre[:, other] - bodies.centre[:, me]
    place = _either_side(rotate_into(offset, bodies.heading[:, me]))
    relative = bodies.points[:, other] - bodies.centre[:, me][:, :, None]
    seen = _either_side(rotate_into(relative, bodies.heading[:, me][:, :, None]))
    reach = np.linalg.norm(bodies.points[:, other] - bodies.front[:, me][:, :, None], axis=-1)
    towards = _either_side(rotate_into(compute_velocity(bodies.centre)[:, me], _unit(offset)))
    keypoints = range(seen.shape[2])
    return [
        Block(names=("other.ahead", "other.aside"), values=place),
        Block(
            names=tuple(f"other{i}.{c}" for i in keypoints for c in ("ahead", "aside")),
            values=seen.reshape(*seen.shape[:2], -1),
        ),
        Block(names=numbered("reach", reach.shape[2]), values=reach),
        Block(names=("nearest_reach",), values=np.fmin.reduce(reach, axis=2)[..., None]),
        Block(names=("approach", "pass"), values=compress(towards)),
        Block(
            names=("facing",), values=rotate_into(_unit(offset), bodies.heading[:, me])[..., :1]
        ),
    ]


def mutual_blocks(bodies: Bodies, spans: Sequence[int]) -> list[Block]:
    """Distances of two animals, how they change, and whether the two look the same way."""
    one, two = np.triu_indices(bodies.points.shape[1], 1)
    distance = np.linalg.norm(bodies.centre[:, one] - bodies.centre[:, two], axis=-1)
    gaps = bodies.points[:, one][:, :, :, None] - bodies.points[:, two][:, :, None]
    nearest = np.fmin.reduce(np.linalg.norm(gaps, axis=-1), axis=(2, 3))
    parallel = (bodies.heading[:, one] * bodies.heading[:, two]).sum(-1)
    changes = [compress(compute_velocity(distance, span)) for span in spans]
    together = np.linalg.norm(
        compute_velocity(bodies.centre[:, one] + bodies.centre[:, two]), axis=-1
    )
    columns = {
        "distance_between": distance,
        "nearest": nearest,
        "parallel": parallel,
        "moving_together": compress(together),
        **{f"parting.{span}": change for span, change in zip(spans, changes, strict=True)},
    }
    return [Block(names=tuple(columns), values=np.stack(list(columns.values()), axis=-1))]


def _ordered_pairs(animals: int) -> tuple[Int[np.ndarray, " Q"], Int[np.ndarray, " Q"]]:
    """Both members of every ordered pair."""
    me, other = np.nonzero(~np.eye(animals, dtype=bool))
    return me, other


def _either_side(components: Float[np.ndarray, "*S 2"]) -> Float[np.ndarray, "*S 2"]:
    """Left and right taken alike: nothing social depends on it."""
    return np.stack([components[..., 0], np.abs(components[..., 1])], axis=-1)


def _unit(vectors: Float[np.ndarray, "*S 2"]) -> Float[np.ndarray, "*S 2"]:
    """Directions; NaN where a vector is NaN or 0."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 0)
