"""The settings of a system: everything that decides what training makes of a log."""

import dataclasses
from collections.abc import Mapping

import tfsessionrec
from tfsessionrec import checks
from tfsessionrec.data import Sessions
from tfsessionrec.data.ids import IdType
from tfsessionrec.data.log_format import LogFormat, split_by_rule
from tfsessionrec.history_spec import HistorySpec
from tfsessionrec.recipe import Training
from tfsessionrec.systems.learned_log import LearnedLog
from tfsessionrec.systems.log_parts import LogParts
from tfsessionrec.systems.validation import Validation

# What `sessionrec-*` left to its defaults when directories did not hold them yet.
_FORMER_DEFAULTS = {
    "negatives": "uniform",
    "num_negatives": 512,
    "normalize": False,
    "temperature": 1.0,
    "dropout": 0.2,
    "habit": None,
}


@dataclasses.dataclass(frozen=True)
class ItemColumns:
    """The columns of an item table that are features.

    Args:
        item: Column of the item.
        categorical: Columns of one category an item.
        multi_hot: Columns of several categories an item.
        dense: Columns of a number an item.

    Raises:
        ValueError: If one of these is no name of a column.
    """

    item: str
    categorical: tuple[str, ...] = ()
    multi_hot: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks.text("item", self.item)
        for name in ("categorical", "multi_hot", "dense"):
            object.__setattr__(self, name, checks.texts(name, getattr(self, name)))


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what training makes of a log; `config.json` of a model directory.

    Args:
        model: Name of the system.
        options: Options of the model.
        log: How the log is read.
        history: What the model reads of a history.
        training: How it is trained.
        holdout: What is kept from training for a test, see `tfsessionrec.data.split_by_rule`.
        validation: What is kept from the rest for validation, and when training ends early.
        min_count: Least events of an item in the vocabulary.
        item_features: Feature columns of the item table. None: there are none.
        seed: Seed of everything random.
        learned: The logs that the model was trained on, the last one as the settings say, see
            `systems.extend`. Empty: one log.
        version: Version of the package that trained.

    Raises:
        ValueError: If a field is of another kind.
    """

    model: str
    options: Mapping[str, object]
    log: LogFormat
    history: HistorySpec
    training: Training
    holdout: str = "none"
    validation: Validation = dataclasses.field(default_factory=Validation)
    min_count: int = 1
    item_features: ItemColumns | None = None
    seed: int = 0
    learned: tuple[LearnedLog, ...] = ()
    version: str = tfsessionrec.__version__

    def __post_init__(self) -> None:
        for name in ("model", "holdout", "version"):
            checks.text(name, getattr(self, name))
        checks.mapping("options", self.options, "options of the model")
        checks.positive_integer("min_count", self.min_count)
        checks.integer("seed", self.seed)

    @property
    def parts(self) -> LogParts:
        """What is kept from training, of the log that is trained on."""
        return LogParts(self.holdout, self.validation.part)

    @property
    def first_step(self) -> int:
        """Steps that the optimizer had made before it was trained on the present log."""
        return self.learned[-1].first_step if self.learned else 0

    @property
    def num_first_items(self) -> int | None:
        """Items of the first of several logs; None if there is one log."""
        return self.learned[0].num_items if self.learned else None

    def for_another_log(self, epochs: int = 1) -> "Settings":
        """The settings with which the model is extended by another log, all of it."""
        trained = dataclasses.replace(self.training, epochs=epochs, since=None)
        return dataclasses.replace(self, training=trained, holdout="none", validation=Validation())

    def trained_on(self, sessions: Sessions, history: bool = True) -> Sessions:
        """What training predicts of its sessions: all, or what happened since `training.since`.

        Args:
            sessions: The sessions that are not held out.
            history: Whether earlier interactions of the same users come along as history, which a
                network reads and does not predict. Defaults to True.
        """
        since = self.training.since
        if not since:
            return sessions
        _, later = split_by_rule(sessions, f"after={since}")
        return later if history else later.targets()

    def to_json(self) -> dict[str, object]:
        """The content of `config.json`."""
        return {**dataclasses.asdict(self), "log": self.log.to_json()}

    @classmethod
    def from_json(cls, content: Mapping[str, object]) -> "Settings":
        """The inverse of `to_json`.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        try:
            fields: dict[str, object] = dict(content)
            fields["log"] = LogFormat.from_json(_mapping(fields["log"]))
            fields["history"] = HistorySpec.from_json(_mapping(fields["history"]))
            fields["training"] = Training(**_mapping(fields["training"]))  # type: ignore[arg-type]
            if "validation" in fields:  # an earlier release has none
                fields["validation"] = Validation(**_mapping(fields["validation"]))  # type: ignore[arg-type]
            if "learned" in fields:
                fields["learned"] = tuple(
                    LearnedLog.from_json(_mapping(log))
                    for log in fields["learned"]  # type: ignore[attr-defined]
                )
            columns = fields.get("item_features")
            if columns is not None:
                fields["item_features"] = ItemColumns(**_mapping(columns))  # type: ignore[arg-type]
            options = _mapping(fields["options"])
            if str(fields["model"]).startswith("sessionrec-") and "habit" not in options:
                fields["options"] = {**_FORMER_DEFAULTS, **options}
            return cls(**fields)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"`config.json` should hold the settings of tfsessionrec train: {error}"
            ) from error

    def with_item_type(self, item_type: IdType) -> "Settings":
        """The settings with which later logs have item ids of the vocabulary's type."""
        return dataclasses.replace(self, log=dataclasses.replace(self.log, item_type=item_type))

    def differences(self, other: "Settings") -> list[str]:
        """What differs from `other`, one text a field."""
        old, new = self.to_json(), other.to_json()
        return [
            f"{name} was {old[name]!r}, is {new[name]!r}" for name in old if old[name] != new[name]
        ]


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"an object was expected, not {value!r}")
    return value
