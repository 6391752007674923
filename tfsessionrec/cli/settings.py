"""What a model directory remembers of how its model came about."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfsessionrec.cli.log import LogFormat


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides what `tfsessionrec train` makes of a log.

    Args:
        model: Name of the model, for `tfsessionrec.models.build`.
        options: Its options.
        log: How the log is read.
        holdout: What was kept from training, see `tfsessionrec.cli.log.split`.
        min_count: How often an item has to be taken to be recommendable.
        training: The recipe: epochs, batch_positions, max_sessions, max_items, ...
        seed: Everything random follows from it.
        version: The package that trained.
    """

    model: str
    options: Mapping[str, Any]
    log: LogFormat
    holdout: str
    min_count: int
    training: Mapping[str, Any]
    seed: int
    version: str

    def to_json(self) -> dict[str, Any]:
        """The content of `config.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Settings":
        """The inverse of `to_json`.

        Raises:
            ValueError: If a field is missing or unknown.
        """
        try:
            log = dict(content["log"])
            for name in ("filter", "impression_feature", "session_context"):
                log[name] = tuple(log.get(name, ()))
            return cls(**{**content, "log": LogFormat(**log)})
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"`config.json` should hold the settings of tfsessionrec train: {error}"
            ) from error
