"""How sure a mean over queries is: resampled clusters, and signs turned at random."""

import numpy as np
from numpy.typing import NDArray

_TOGETHER = 2**22  # Numbers drawn at a time.


def cluster_sums(
    values: NDArray[np.float64], clusters: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums of the values of each cluster, and how many they are; NaN is no value.

    Args:
        values: [Q, M], M metrics of each query.
        clusters: [Q] any integers.

    Returns:
        Two arrays [clusters, M].
    """
    number = np.unique(clusters, return_inverse=True)[1]
    size = int(number.max(initial=-1)) + 1
    real = ~np.isnan(values)
    filled = np.where(real, values, 0.0)

    def add(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = [np.bincount(number, column, minlength=size) for column in columns.T]
        return np.stack(sums, axis=1)

    return add(filled), add(real.astype(np.float64))


def bootstrap_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], samples: int, seed: int
) -> NDArray[np.float64]:
    """Means of the resampled queries: clusters are drawn with replacement, each as a whole.

    Args:
        sums: [R, M], see `cluster_sums`.
        counts: [R, M].
        samples: How many times R clusters are drawn.
        seed: Seed of the draws.

    Returns:
        [samples, M], NaN where a sample holds no value.
    """
    random = np.random.default_rng(seed)
    size = len(sums)
    found = np.zeros((samples, sums.shape[1]))
    step = max(1, _TOGETHER // size)
    for first in range(0, samples, step):
        rows = min(step, samples - first)
        drawn = random.integers(size, size=(rows, size)) + np.arange(rows)[:, None] * size
        times = np.bincount(drawn.reshape(-1), minlength=rows * size).reshape(rows, size)
        total = times @ counts
        found[first : first + rows] = times @ sums / np.where(total == 0, np.nan, total)
    return found


def randomisation_p_values(
    differences: NDArray[np.float64], samples: int, seed: int
) -> NDArray[np.float64]:
    """Two-sided p-values of a paired randomisation test.

    If both systems were the same, each cluster's difference could as well have the other sign:
    `p = (1 + |{samples : |sum of the differences with random signs| >= |their sum|}|) /
    (1 + samples)`.

    Args:
        differences: [R, M], each cluster's sum of the differences of two systems.
        samples: How many times signs are drawn.
        seed: Seed of the draws.

    Returns:
        [M].
    """
    random = np.random.default_rng(seed)
    size = len(differences)
    seen = np.abs(differences.sum(axis=0))
    # Sums of the same numbers in another order may differ in their last bits.
    enough = seen - 1e-9 * np.abs(differences).sum(axis=0)
    reached = np.zeros(differences.shape[1])
    step = max(1, _TOGETHER // size)
    for first in range(0, samples, step):
        rows = min(step, samples - first)
        signs = random.integers(0, 2, size=(rows, size), dtype=np.int8) * 2.0 - 1.0
        reached += (np.abs(signs @ differences) >= enough).sum(axis=0)
    return (1 + reached) / (1 + samples)
