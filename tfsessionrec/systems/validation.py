"""How training is validated, and when it ends early."""

import dataclasses
import re

from tfsessionrec.checks import positive_integer

METRICS = ("ndcg", "hit_rate", "recall", "precision", "mrr", "map")
PATIENCE = 3
_METRIC = re.compile(rf"({'|'.join(METRICS)})@([1-9]\d*)")


@dataclasses.dataclass(frozen=True)
class Validation:
    """What each epoch is validated on, by which metric, and when training ends early.

    After each epoch the model ranks every item for the queries of the validation part, as
    `evaluate` does with the objective of training. The epoch with the highest value is the one that
    is loaded, evaluated and exported; training is resumed from the last.

    With `patience`, training ends once that many epochs in succession have not risen above the best
    one. With a cooldown it does not end there: the learning rate begins to fall, over the last
    share of the epochs that `cooldown` says, and training ends with it, not earlier.

    Args:
        part: `"last-day"`, `"last-session"` or the path of another log, see `LogParts`. Defaults to
            `"none"`.
        metric: Metric of `tfsessionrec.evaluation.evaluate` with its k. Defaults to `"ndcg@20"`.
        patience: Epochs without a rise that end training. Defaults to None: all epochs are trained.

    Raises:
        ValueError: If the metric is unknown, `patience` is not positive, or there is a `patience`
            and no part.

    Example:

    >>> Validation.of("last-day", "ndcg@20,patience=5")
    Validation(part='last-day', metric='ndcg@20', patience=5)
    >>> Validation.of("last-session").name
    'val_ndcg@20'
    """

    part: str = "none"
    metric: str = "ndcg@20"
    patience: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.part, str) or not self.part:
            raise ValueError(
                "`validation` should be 'none', 'last-day', 'last-session' or the path of a log. "
                f"Received: `validation`={self.part!r}"
            )
        if not isinstance(self.metric, str) or not _METRIC.fullmatch(self.metric):
            raise ValueError(
                f"The metric of `early_stopping` should be one of {', '.join(METRICS)} with its "
                f"k, such as ndcg@20. Received: {self.metric!r}"
            )
        if self.patience is not None:
            positive_integer("patience", self.patience)
            if self.part == "none":
                raise ValueError(
                    "`early_stopping` (--early-stopping) needs `validation` (--validation). "
                    "Received: none"
                )

    @classmethod
    def of(
        cls, part: "str | Validation" = "none", early_stopping: str | None = None
    ) -> "Validation":
        """The validation that two arguments mean.

        Args:
            part: As in the constructor; or a `Validation`, whose metric and patience
                `early_stopping` replaces.
            early_stopping: `"METRIC"` or `"METRIC,patience=N"`; N is 3 unless given. Defaults to
                None: all epochs are trained.
        """
        if isinstance(part, Validation):
            if early_stopping is None:
                return part
            part = part.part
        if early_stopping is None:
            return cls(part)
        metric, comma, option = str(early_stopping).partition(",")
        name, _, value = option.partition("=")
        if comma and not (name == "patience" and value.isdigit()):
            raise ValueError(
                "`early_stopping` should be METRIC or METRIC,patience=N, such as "
                f"ndcg@20,patience=5. Received: `early_stopping`={early_stopping!r}"
            )
        return cls(part, metric, int(value) if comma else PATIENCE)

    @property
    def measure(self) -> str:
        """The metric without its k."""
        return self.metric.partition("@")[0]

    @property
    def k(self) -> int:
        """Length of the list."""
        return int(self.metric.partition("@")[2])

    @property
    def name(self) -> str:
        """The metric's name among the losses and metrics of an epoch."""
        return f"val_{self.metric}"
