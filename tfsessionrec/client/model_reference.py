"""Which model of a server, and which version of it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ModelReference:
    """Which model of a server, and which version of it.

    Attributes:
        name: The model's name on the server.
        version: The number of a version. Defaults to None.
        label: The label of a version, such as "stable". Defaults to None. Without a version and a
            label, the server takes the highest version that it has loaded.

    Raises:
        ValueError: If both a version and a label are given, or the name is empty.

    Example:

    >>> ModelReference("sessionrec", label="stable").path
    '/v1/models/sessionrec/labels/stable'
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.name or set("/:?#% ") & set(self.name):
            raise ValueError(
                "`name` should be a model's name without spaces and any of /:?#%. "
                f"Received: `name`={self.name!r}"
            )
        if self.version is not None and self.label is not None:
            raise ValueError(
                "A version or a label should be given, not both. Received: "
                f"`version`={self.version}, `label`={self.label!r}"
            )

    @property
    def path(self) -> str:
        """The path of the model in the REST API."""
        path = f"/v1/models/{self.name}"
        if self.version is not None:
            path += f"/versions/{self.version}"
        if self.label is not None:
            path += f"/labels/{self.label}"
        return path
