"""Decision trees as plain arrays, whichever library grew them, and the way down them.

Kept as arrays, trees can be saved without running code when they are read back, and predict the
same whatever version of the library is installed by then.

Features are float32, so that "x <= threshold" for a threshold in double precision holds exactly
where it holds for the largest float32 that is not above it: half the memory, the same decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int32

from neuroduet.actions.model import Arrays


@dataclass(frozen=True, kw_only=True)
class Trees:
    """Trees one after another; M nodes in all, R trees, L different leaf values of width W.

    Attributes:
        feature: Column asked at a node; 0 at a leaf.
        threshold: Values up to it go left; infinite at a leaf.
        child: The left child; the right one comes next. A leaf is its own child, so that a frame
            that has arrived stays.
        value: Row of ``values`` at a leaf; 0 elsewhere.
        values: What leaves say, ``(L, W)``.
        roots: First node of each tree, ``(R,)``.
        depths: Most decisions of each tree, ``(R,)``.
    """

    feature: Int32[np.ndarray, " M"]
    threshold: Float32[np.ndarray, " M"]
    child: Int32[np.ndarray, " M"]
    value: Int32[np.ndarray, " M"]
    values: Float64[np.ndarray, "L W"]
    roots: Int32[np.ndarray, " R"]
    depths: Int32[np.ndarray, " R"]

    def leaf_values(self, tree: int, x: Float32[np.ndarray, "N P"]) -> Float64[np.ndarray, "N W"]:
        """What one tree says of every frame."""
        row, flat = np.arange(len(x)) * x.shape[1], x.reshape(-1)
        node = np.full(len(x), self.roots[tree])
        for _ in range(self.depths[tree]):
            goes_right = flat[row + self.feature[node]] > self.threshold[node]
            node = self.child[node] + goes_right
        return self.values[self.value[node]]

    def mean(self, x: Float32[np.ndarray, "N P"]) -> Float64[np.ndarray, "N W"]:
        """Mean over trees: the probabilities of a forest."""
        total = np.zeros((len(x), self.values.shape[1]))
        for tree in range(len(self.roots)):
            total += self.leaf_values(tree, x)
        return total / len(self.roots)

    def sums(self, x: Float32[np.ndarray, "N P"], n_scores: int) -> Float64[np.ndarray, "N C"]:
        """Sums over every ``n_scores``-th tree: the scores of boosted trees.

        Args:
            x: Frames.
            n_scores: Trees grown in one round, one per score C.
        """
        total = np.zeros((len(x), n_scores))
        for tree in range(len(self.roots)):
            total[:, tree % n_scores] += self.leaf_values(tree, x)[:, 0]
        return total

    def arrays(self) -> Arrays:
        """The fields by name."""
        return dict(vars(self))


def trees_from(arrays: Arrays) -> Trees:
    """The inverse of :meth:`Trees.arrays`; arrays of other names are left alone.

    Raises:
        ValueError: A number points to a node, column or value that cannot exist.
    """
    trees = Trees(**{name: arrays[name] for name in Trees.__dataclass_fields__})
    nodes = len(trees.child)
    limits = {"child": nodes, "roots": nodes, "value": len(trees.values), "depths": nodes + 1}
    for name, limit in {**limits, "feature": np.inf}.items():
        found = arrays[name]
        if found.size and not 0 <= found.min() <= found.max() < limit:
            raise ValueError(f"'{name}' of the trees points beyond its end")
    # The right child comes next; a leaf, which is its own child, has none.
    if ((trees.child == nodes - 1) & (np.arange(nodes) != nodes - 1)).any():
        raise ValueError("'child' of the trees points beyond its end")
    return trees


@dataclass(frozen=True, kw_only=True)
class Grown:
    """One tree as a library numbers its nodes, the root first.

    Attributes:
        left: Left child of a node; below 0 at a leaf.
        right: Right child.
        feature: Column asked.
        threshold: Values up to it go left.
        value: What a node says if it is a leaf, ``(M, W)``.
    """

    left: Int[np.ndarray, " M"]
    right: Int[np.ndarray, " M"]
    feature: Int[np.ndarray, " M"]
    threshold: Float[np.ndarray, " M"]
    value: Float64[np.ndarray, "M W"]


def join(grown: Sequence[Grown]) -> Trees:
    """Trees of a library as one set of arrays.

    Args:
        grown: At least one; all with leaf values of the same width.
    """
    laid_out = [_children_in_pairs(tree) for tree in grown]
    sizes = np.array([len(tree.left) for tree in laid_out])
    roots = (np.cumsum(sizes) - sizes).astype(np.int32)
    tree_of = np.repeat(np.arange(len(grown)), sizes)
    left = np.concatenate([tree.left for tree in laid_out])
    is_leaf = left < 0
    threshold = np.concatenate([tree.threshold for tree in laid_out])
    feature = np.concatenate([tree.feature for tree in laid_out])
    value, values = _distinct(np.concatenate([tree.value for tree in laid_out]), is_leaf)
    return Trees(
        feature=np.where(is_leaf, 0, feature).astype(np.int32),
        threshold=np.where(is_leaf, np.float32(np.inf), rounded_down(threshold)),
        child=np.where(is_leaf, np.arange(len(left)), left + roots[tree_of]).astype(np.int32),
        value=value,
        values=values,
        roots=roots,
        depths=np.array([_depth(tree.left) for tree in laid_out], np.int32),
    )


def rounded_down(thresholds: Float[np.ndarray, " M"]) -> Float32[np.ndarray, " M"]:
    """The largest float32 that is not above each number."""
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > thresholds, below, nearest)


def _children_in_pairs(tree: Grown) -> Grown:
    """The same tree, its nodes renumbered so that a right child follows its left one."""
    inner = np.flatnonzero(tree.left >= 0)
    pairs = 1 + 2 * np.arange(len(inner))
    number = np.zeros(len(tree.left), int)
    number[tree.left[inner]], number[tree.right[inner]] = pairs, pairs + 1
    order = np.argsort(number)
    left = np.full(len(tree.left), -1)
    left[number[inner]] = pairs
    return Grown(
        left=left,
        right=np.where(left < 0, -1, left + 1),
        feature=tree.feature[order],
        threshold=tree.threshold[order],
        value=tree.value[order],
    )


def _depth(left: Int[np.ndarray, " M"]) -> int:
    """Decisions on the longest way down."""
    depth, level = 0, np.zeros(1, int)
    while len(level := level[left[level] >= 0]):
        level = np.concatenate([left[level], left[level] + 1])
        depth += 1
    return depth


def _distinct(
    values: Float64[np.ndarray, "M W"], is_leaf: np.ndarray
) -> tuple[Int32[np.ndarray, " M"], Float64[np.ndarray, "L W"]]:
    """Row of each leaf in a list of values, and the list: all pure leaves of a class share one."""
    width = values.shape[1]
    pure = is_leaf & (values == 1.0).any(axis=1)
    own = is_leaf & ~pure
    row = np.zeros(len(values), np.int32)
    row[pure] = values[pure].argmax(axis=1)
    row[own] = width + np.arange(own.sum())
    return row, np.concatenate([np.eye(width), values[own]])
