"""Two systems on the same queries."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How two systems differ on the same queries, see `compare`.

    `comparison["ndcg@20"]["p_value"]` is one number, `print(comparison)` a table.

    Args:
        metrics: By name `{"a": mean, "b": mean, "difference": b - a, "low": ..., "high": ...,
            "p_value": ...}`, low and high being the ends of a 95 % interval of the difference.
        num_queries: Queries of both systems.
        num_clusters: Rows of the dataset they are of, which are resampled as a whole.
        samples: How many times.
    """

    metrics: Mapping[str, Mapping[str, float]]
    num_queries: int
    num_clusters: int
    samples: int

    def __getitem__(self, metric: str) -> Mapping[str, float]:
        return self.metrics[metric]

    def __str__(self) -> str:
        width = max(map(len, self.metrics), default=0)
        lines = [f"{'':{width}}       a       b    b - a  95 % interval        p"]
        for name, row in self.metrics.items():
            lines.append(
                f"{name:{width}}  {row['a']:.4f}  {row['b']:.4f}  {row['difference']:+.4f}  "
                f"[{row['low']:+.4f}, {row['high']:+.4f}]  {row['p_value']:.4f}"
            )
        lines.append(
            f"{self.num_queries:,} queries of {self.num_clusters:,} rows, "
            f"{self.samples:,} resamples"
        )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values that JSON knows."""
        return dataclasses.asdict(self)
