"""What went wrong between a client and a server."""

ADVICE = {
    "UNAVAILABLE": "See whether the server runs and has loaded the model; the state of its "
    "versions is at /v1/models/NAME of its REST port.",
    "NOT_FOUND": "Compare the name and the version with those of the server's models.config; "
    "/v1/models/NAME of its REST port lists the versions that it has loaded.",
    "DEADLINE_EXCEEDED": "Allow more time, or give the server less to do: its queue may be full.",
    "INVALID_ARGUMENT": "Compare the request with the inputs that signature.json of the export "
    "lists.",
    "FAILED_PRECONDITION": "Compare the signature with those that signature.json of the export "
    "lists, and the label with those of models.config.",
    "RESOURCE_EXHAUSTED": "Send smaller requests, or start the server with a longer queue.",
}
OTHER_ADVICE = "The server's log says more."


class ServingError(OSError):
    """A server did not answer, or answered with an error.

    Its text says what failed, where, and what to do about it.

    Args:
        what: What failed, in the server's words if it had any.
        where: The address and the model.
        status: Name of the canonical status code, such as "UNAVAILABLE".

    Example:

    >>> print(ServingError("connection refused", "http://localhost:8501", "UNAVAILABLE"))
    UNAVAILABLE at http://localhost:8501: connection refused. See whether the server runs ...
    """

    def __init__(self, what: str, where: str, status: str) -> None:
        super().__init__(
            f"{status} at {where}: {what.rstrip('. ')}. {ADVICE.get(status, OTHER_ADVICE)}"
        )
        self.what = what
        self.where = where
        self.status = status
