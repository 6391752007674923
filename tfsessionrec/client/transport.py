"""Types that REST and gRPC share: a server's models, signatures, versions and errors."""

import dataclasses
import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.checks import non_negative_integer

ADVICE = {
    "UNAVAILABLE": "Check that the server runs and has loaded the model; /v1/models/NAME of its "
    "REST port shows the state of each version.",
    "NOT_FOUND": "Compare the name and the version with those of the server's models.config; "
    "/v1/models/NAME of its REST port lists the versions that it has loaded.",
    "DEADLINE_EXCEEDED": "Allow more time, or reduce the server's load: its queue may be full.",
    "INVALID_ARGUMENT": "Compare the request with the inputs that signature.json of the export "
    "lists.",
    "FAILED_PRECONDITION": "Compare the signature with those that signature.json of the export "
    "lists, and the label with those of models.config.",
    "RESOURCE_EXHAUSTED": "Send smaller requests, or start the server with a longer queue; "
    "`max_response_bytes` of the client limits the answer.",
    "UNAUTHENTICATED": "Check the certificate of the server, and user and password in `url`.",
}
# What a server says over gRPC if all its threads are busy, before it begins a request.
NO_THREAD = "threadpool exhausted"
NO_THREAD_ADVICE = (
    "All threads of the server are busy: start it with a larger --grpc_max_threads, or send fewer "
    "requests at a time."
)
DTYPES = re.compile(r"u?int(8|16|32|64)|float(16|32|64)|bool")
OTHER_ADVICE = "See the server's log."
KINDS: dict[str, Callable[[Any], str | int | float]] = {
    "string": str,
    "int64": int,
    "int32": int,
    "float32": float,
    "bool": bool,
}


class ServingError(OSError):
    """A server did not answer, or answered with an error.

    Its text names the failure, the address and the remedy.

    Args:
        what: The failure, in the server's words if it sent any.
        where: The address and the model.
        status: Name of the canonical status code, such as "UNAVAILABLE".

    Attributes:
        may_be_repeated: Whether the server did not begin the request: it was unavailable, or all
            its threads were busy.

    Example:

    >>> print(ServingError("connection refused", "http://localhost:8501", "UNAVAILABLE"))
    UNAVAILABLE at http://localhost:8501: connection refused. Check that the server runs ...
    """

    def __init__(self, what: str, where: str, status: str) -> None:
        no_thread = status == "RESOURCE_EXHAUSTED" and NO_THREAD in what.lower()
        advice = NO_THREAD_ADVICE if no_thread else ADVICE.get(status, OTHER_ADVICE)
        super().__init__(f"{status} at {where}: {what.rstrip('. ')}. {advice}")
        self.may_be_repeated = no_thread or status == "UNAVAILABLE"
        self.what = what
        self.where = where
        self.status = status


@dataclasses.dataclass(frozen=True)
class ModelReference:
    """A model of a server and, optionally, one of its versions.

    Attributes:
        name: The model's name on the server.
        version: The number of a version. Defaults to None.
        label: The label of a version, such as "stable". Defaults to None. Without a version and a
            label, the server takes the highest version that it has loaded.

    Raises:
        ValueError: If both a version and a label are given, or the name or the label cannot be part
            of a path.

    Example:

    >>> ModelReference("sessionrec", label="stable").path
    '/v1/models/sessionrec/labels/stable'
    """

    name: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        check_part("name", self.name, "a model's name")
        if self.label is not None:
            check_part("label", self.label, "a label of models.config")
        if self.version is not None:
            version = non_negative_integer("version", self.version)
            object.__setattr__(self, "version", version)
        if self.version is not None and self.label is not None:
            raise ValueError(
                "A version or a label should be given, not both. Received: "
                f"`version`={self.version}, `label`={self.label!r}"
            )

    @property
    def path(self) -> str:
        """The path of the model in the REST API."""
        path = f"/v1/models/{_quoted(self.name)}"
        if self.version is not None:
            path += f"/versions/{self.version}"
        if self.label is not None:
            path += f"/labels/{_quoted(self.label)}"
        return path


def check_part(name: str, text: object, what: str) -> None:
    """Checks that a text can be one part of a path, also for a proxy.

    Raises:
        ValueError: If it cannot.
    """
    fits = (
        isinstance(text, str)
        and text not in ("", ".", "..")
        and text.isprintable()
        and not set("/:?#%\\ ") & set(text)
    )
    if not fits:
        raise ValueError(
            f"`{name}` should be {what} without spaces and any of /:?#%\\. "
            f"Received: `{name}`={text!r}"
        )


def _quoted(text: str) -> str:
    """The server does not decode a path: only what no path may hold is quoted."""
    return urllib.parse.quote(text, safe="!$&'()*+,;=@~")


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """The state of one version of a model on a server.

    Attributes:
        version: The number of its folder.
        state: START, LOADING, AVAILABLE, UNLOADING or END.
        error: Why it did not load; "" if nothing went wrong.
    """

    version: int
    state: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature.

    Attributes:
        dtype: "string", "int64", "int32", "float32" or "bool".
        rank: Number of dimensions; the first counts the requests. Negative if it is unknown.
        default: The value of a row that gives none, by `signature.json`. Defaults to None.
        filler: The value that marks padding, by `signature.json`. Defaults to None.
    """

    dtype: str
    rank: int
    default: object = None
    filler: str | int | None = None

    @property
    def array_dtype(self) -> np.dtype:
        """The NumPy dtype; strings are objects.

        Raises:
            ValueError: If no client reads this type.
        """
        if self.dtype != "string" and not DTYPES.fullmatch(self.dtype):
            raise ValueError(f"the type {self.dtype!r} of a tensor is not supported")
        return np.dtype(object if self.dtype == "string" else self.dtype)

    @property
    def padding(self) -> str | int | float:
        """Fills a row that is shorter than others; no vocabulary holds it."""
        if self.filler is not None:
            return self.filler
        paddings: dict[str, str | int] = {"string": "", "int64": -1, "int32": -1, "bool": False}
        return paddings.get(self.dtype, 0.0)

    def convert(self, value: object, name: str) -> str | int | float:
        """The value in this dtype.

        Raises:
            ValueError: If it cannot be converted.
        """
        kind = KINDS.get(self.dtype, float)
        is_bool = isinstance(value, bool | np.bool_)
        try:
            fits = is_bool or kind is not bool
            if kind is str:
                fits = isinstance(value, str | int | np.integer) and not is_bool
            if kind is int:
                fits = not is_bool and not (isinstance(value, float) and not value.is_integer())
            converted = kind(value)
            if kind is int and isinstance(converted, int):
                info = np.iinfo(self.dtype)
                fits &= info.min <= converted <= info.max
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            raise ValueError(
                f"`{name}` should hold values of type {self.dtype}. Received: {value!r}"
            )
        return converted


class Signature(NamedTuple):
    """The inputs and outputs of a signature by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


class Transport(Protocol):
    """One try of one request; every failure is a `ServingError`. `seconds` is the time left."""

    def predict(
        self,
        model: ModelReference,
        signature: str,
        inputs: Mapping[str, NDArray],
        specs: Signature,
        seconds: float,
    ) -> dict[str, NDArray]:
        """The outputs of a signature."""

    def signatures(self, model: ModelReference, seconds: float) -> dict[str, Signature]:
        """The model's signatures by name."""

    def resolved_version(self, model: ModelReference, seconds: float) -> int:
        """The version that answers now, by default, number or label."""

    def versions(self, model: ModelReference, seconds: float) -> list[VersionStatus]:
        """The state of the model's versions."""

    def close(self) -> None:
        """Closes the connections."""
