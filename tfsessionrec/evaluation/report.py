"""What an evaluation found, and under which choices."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Report:
    """Metrics of a model and of the baselines beside it, with every choice that changes them.

    `report["ndcg@20"]` is the model's value, `print(report)` a small table.

    Args:
        metrics: The model's, by name, such as `{"recall@20": 0.7}`.
        baselines: Each baseline's, by its name.
        num_queries: Queries the means are over.
        num_candidates: Items ranked for each query (their mean, where queries have lists of their
            own).
        num_skipped: Sessions to predict that gave no query; `options["skipped"]` says why.
        options: The choices: targets, filter_seen, ties, ...
        seconds: Time taken, baselines included.

    Example:

    >>> report = Report({"recall@5": 0.25}, {"popularity": {"recall@5": 0.125}}, 8, 40)
    >>> print(report)
          model  popularity
    recall@5  0.2500      0.1250
    8 queries, 40 candidates, 0 skipped, 0.0 s
    >>> report["recall@5"]
    0.25
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    num_queries: int = 0
    num_candidates: float = 0
    num_skipped: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    def __getitem__(self, metric: str) -> float:
        return self.metrics[metric]

    def __str__(self) -> str:
        systems = {"model": self.metrics, **self.baselines}
        width = max(map(len, self.metrics), default=0)
        lines = [" " * width + "".join(f"  {name}" for name in systems)]
        for metric in self.metrics:
            values = (f"{row[metric]:{len(name) + 2}.4f}" for name, row in systems.items())
            lines.append(f"{metric:{width}}" + "".join(values))
        lines.append(
            f"{self.num_queries:,} queries, {self.num_candidates:,.4g} candidates, "
            f"{self.num_skipped:,} skipped, {self.seconds:.1f} s"
        )
        lines += [f"{name}: {_words(value)}" for name, value in self.options.items()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values that JSON knows."""
        return dataclasses.asdict(self)

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to one JSON file, which is there whole or not at all."""
        path = pathlib.Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def _words(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
