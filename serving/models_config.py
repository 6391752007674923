"""models.config of a server, read and rewritten."""

import copy
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfig


class RolloutError(RuntimeError):
    """A roll-out stopped; the message gives the reason."""


class ModelsConfig:
    """models.config of a server: the loaded versions of a model, and their labels.

    Args:
        path: The file.
        model_name: The model.

    Raises:
        RolloutError: If the file does not hold the model.
    """

    def __init__(self, path: pathlib.Path, model_name: str) -> None:
        from google.protobuf import text_format
        from tensorflow_serving.config import model_server_config_pb2

        self.path, self.model_name = path, model_name
        self.proto = model_server_config_pb2.ModelServerConfig()
        try:
            text_format.Parse(path.read_text(), self.proto)
        except text_format.ParseError as error:
            raise RolloutError(f"{path} is not a models.config: {error}") from error
        self._model()

    @property
    def versions(self) -> list[int]:
        """Versions of the policy `specific`; empty for the policies `latest` and `all`."""
        return sorted(self._model().model_version_policy.specific.versions)

    @property
    def labels(self) -> dict[str, int]:
        """Versions by label."""
        return dict(self._model().version_labels)

    def with_(self, versions: Sequence[int], labels: Mapping[str, int]) -> "ModelsConfig":
        """A copy with other versions and labels, otherwise equal."""
        changed = copy.copy(self)
        changed.proto = type(self.proto)()
        changed.proto.CopyFrom(self.proto)
        model = changed._model()
        model.model_version_policy.Clear()
        model.model_version_policy.specific.versions.extend(sorted(set(versions)))
        model.version_labels.clear()
        for label, version in sorted(labels.items()):
            model.version_labels[label] = version
        return changed

    def write(self) -> None:
        """Replaces the file in one atomic step; the old one is kept next to it as `.previous`."""
        from google.protobuf import text_format

        before = self.path.read_bytes()
        for path, content in (
            (self.path.with_name(self.path.name + ".previous"), before),
            (self.path, text_format.MessageToString(self.proto).encode()),
        ):
            scratch = path.with_name(f".{path.name}.{os.getpid()}")
            with scratch.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)

    def _model(self) -> "ModelConfig":
        found = self.proto.model_config_list.config
        for one in found:
            if one.name == self.model_name:
                return one
        names = [one.name for one in found]
        raise RolloutError(f"{self.path} has no model {self.model_name!r}; it has {names}")
