"""Fits `y = a n^-b + c` and estimates the range of the exponent."""

import dataclasses

import numpy as np

EXPONENTS = np.geomspace(0.01, 4.0, 800)


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """`y = scale · n^-exponent + floor`.

    Args:
        scale: a, at least 0.
        exponent: b, above 0.
        floor: c, at least 0: the limit for large n.
        low: 5th percentile of the exponent over refits with resampled residuals.
        high: 95th percentile of it.
    """

    scale: float
    exponent: float
    floor: float
    low: float
    high: float

    @property
    def determined(self) -> bool:
        """Whether the points determine the exponent within a factor of ten."""
        return self.scale > 0 and self.high < 10 * self.low

    def __call__(self, n: np.ndarray) -> np.ndarray:
        """y at n."""
        return self.scale * np.asarray(n, float) ** -self.exponent + self.floor


def fit(n: np.ndarray, y: np.ndarray, resamples: int = 1000, seed: int = 0) -> PowerLaw:
    """Least squares in y over a grid of exponents, with the exact scale and floor for each.

    The range of the exponent comes from refits to the fitted values plus residuals drawn with
    replacement; the factor `sqrt(points / (points - 3))` accounts for the three fitted parameters.

    Args:
        n: [points], positive, with at least three distinct values.
        y: [points].
        resamples: Number of refits.
        seed: Random seed of the draws.

    Raises:
        ValueError: If `n` has fewer than three distinct values or one is not positive.
    """
    n, y = np.asarray(n, float), np.asarray(y, float)
    if len(np.unique(n)) < 3 or n.min() <= 0:
        raise ValueError(
            f"`n` should have three or more distinct positive numbers. Received: `n`={n}"
        )
    scale, exponent, floor = (part[0] for part in _fit(n, y[None]))
    fitted = scale * n**-exponent + floor
    residuals = (y - fitted) * np.sqrt(len(n) / max(1, len(n) - 3))
    drawn = np.random.default_rng(seed).choice(residuals, (resamples, len(n)))
    low, high = np.percentile(_fit(n, fitted + drawn)[1], [5, 95])
    return PowerLaw(float(scale), float(exponent), float(floor), float(low), float(high))


def _fit(n: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scale, exponent and floor for each row of y, [rows, points]."""
    x = (n / n.min()) ** -EXPONENTS[:, None]  # [exponents, points]
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    centered = x - x_mean[:, None]
    scale = ((y - y_mean[:, None]) @ centered.T) / (centered**2).sum(axis=1)  # [rows, exponents]
    floor = y_mean[:, None] - scale * x_mean
    # A negative floor becomes 0; the scale is then that of a line through the origin.
    through = (y @ x.T) / (x**2).sum(axis=1)
    scale = np.maximum(np.where(floor < 0, through, scale), 0)
    floor = np.where(floor < 0, 0, np.where(scale > 0, floor, y_mean[:, None]))
    errors = ((scale[:, :, None] * x + floor[:, :, None] - y[:, None]) ** 2).sum(axis=2)
    best = errors.argmin(axis=1)[:, None]
    exponent = EXPONENTS[best[:, 0]]
    scale = np.take_along_axis(scale, best, axis=1)[:, 0]
    return scale * n.min() ** exponent, exponent, np.take_along_axis(floor, best, axis=1)[:, 0]
