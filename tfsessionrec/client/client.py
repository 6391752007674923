"""A client of TensorFlow Serving that takes histories and gives items."""

import json
import os
import pathlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfsessionrec.checks import non_negative_integer, number, positive_integer, sequence
from tfsessionrec.client.address import Address
from tfsessionrec.client.answer import check_outputs, reading
from tfsessionrec.client.batch import lists, make_inputs, one_a_row
from tfsessionrec.client.rest_transport import RestTransport
from tfsessionrec.client.transport import (
    ModelReference,
    ServingError,
    Signature,
    TensorSpec,
    Transport,
    VersionStatus,
    check_part,
)
from tfsessionrec.client.types import History, RankedItem, Recommendation

ANSWER = TypeVar("ANSWER")
AnyHistory = History | Sequence[str | int]

NO_SCORE = float(np.finfo(np.float32).min)
LONGEST_PAUSE = 2.0


class Client:
    """Asks a running server for recommendations; may be shared by threads.

    One request may hold histories of unequal lengths, empty ones too: the client pads them.
    The client retries, after a pause that doubles, only when the server did not begin the request:
    it was unavailable (UNAVAILABLE, HTTP 503, a refused connection), or all its threads were busy
    (gRPC: "Server Threadpool Exhausted"); until `retries` or `timeout` is used up.

    Args:
        url: "http://HOST:PORT" of the REST port, or "grpc://HOST:PORT" of the gRPC port (needs the
            extra `serving`). "https://USER:PASSWORD@HOST:PORT" sends them (Basic authentication);
            no error shows them.
        model_name: The model's name on the server.
        version: Ask this version. Defaults to None.
        label: Ask the version with this label, such as "stable". Defaults to None. Without both,
            the highest version answers.
        timeout: Seconds that a call may take with all its retries, from connecting to the last
            byte. Defaults to 5.
        retries: How often a call is retried. Defaults to 3.
        backoff: Seconds before the first retry, on average. Defaults to 0.05.
        description: `signature.json` of the export, its path or its content; it also gives the
            default of `k`. Defaults to None: the client asks the server for its signatures.
        history_length: Number of items that the client sends of each history: longer ones are cut
            to their newest, shorter ones padded. A server with `--enable_batching` refuses the
            requests that it merges if their shapes differ, so that all of its clients need the same
            number here. Defaults to None: the longest history of the request.
        list_length: The same for lists of candidates and of other ids; longer ones are an error.
            Defaults to None.
        max_response_bytes: The largest answer that the client reads; a larger one is an error
            before there is memory for it. Defaults to 64 MiB.

    Raises:
        ValueError: If an argument is out of its range.
        ImportError: If `url` is a gRPC address and gRPC is not installed.

    Example:

    ```python
    with sr.client.Client("http://localhost:8501", "sessionrec", label="stable") as client:
        client.recommend([["shoes", "socks"], []], k=10)
    ```
    """

    def __init__(
        self,
        url: str,
        model_name: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 5.0,
        retries: int = 3,
        backoff: float = 0.05,
        description: Mapping[str, object] | str | os.PathLike[str] | None = None,
        history_length: int | None = None,
        list_length: int | None = None,
        max_response_bytes: int = 64 * 2**20,
    ) -> None:
        for name, value in {"history_length": history_length, "list_length": list_length}.items():
            if value is not None:
                positive_integer(name, value)
        positive_integer("max_response_bytes", max_response_bytes)
        self.timeout = number("timeout", timeout, above=0)
        self.retries = non_negative_integer("retries", retries)
        self.backoff = number("backoff", backoff, least=0)
        check_part("model_name", model_name, "a model's name")
        self.model = ModelReference(model_name, version, label)
        self.history_length = history_length
        self.list_length = list_length
        self.k = 100
        self._signatures: dict[str, Signature] | None = None
        if description is not None:
            self._read_description(description)
        self._address = Address.parse(url)
        self._transport = _transport(self._address, max_response_bytes)

    def recommend(
        self,
        histories: Sequence[AnyHistory],
        k: int | Sequence[int] | None = None,
        **inputs: object,
    ) -> list[list[Recommendation]]:
        """The items with the highest scores for each history.

        Args:
            histories: One a visitor: a `History`, or a list of raw ids, oldest first.
            k: Number of items, one for all histories or one for each. Defaults to None: `k` of
                `signature.json`, or 100.
            **inputs: Further inputs of the signature, one value for all histories or a list with
                one for each.

        Returns:
            For each history its recommendations, best first.

        Raises:
            ServingError: If the server does not answer, or refuses.
            ValueError: If an argument is out of its range, or an input is unknown or missing.
        """
        return self._recommend("recommend", histories, k, inputs)

    def recommend_filtered(
        self,
        histories: Sequence[AnyHistory],
        k: int | Sequence[int] | None = None,
        **inputs: object,
    ) -> list[list[Recommendation]]:
        """`recommend` under business rules; see there.

        Args:
            histories: One a visitor.
            k: Number of items. Defaults to None.
            **inputs: Rules of the signature, such as `exclude_ids`: one value a history. A list of
                ids may also be given once, for all histories. A rule that is not given is off.
        """
        return self._recommend("recommend_filtered", histories, k, inputs)

    def similar_items(
        self, item_ids: Sequence[str | int], k: int | Sequence[int] | None = None, **inputs: object
    ) -> list[list[Recommendation]]:
        """The items most similar to each of the given ones; see `recommend`.

        Args:
            item_ids: Raw ids.
            k: Number of items. Defaults to None.
            **inputs: Further inputs of the signature.
        """
        sequence("item_ids", item_ids, "ids")
        if not len(item_ids):
            raise ValueError("`item_ids` should hold at least one id. Received: none")
        try:
            histories = [History([item]) for item in item_ids]
        except ValueError as error:
            raise ValueError(f"`item_ids` should be a list of ids: {error}") from error
        return self._recommend("similar_items", histories, k, inputs)

    def rank(
        self,
        histories: Sequence[AnyHistory],
        candidate_ids: Sequence[str | int] | Sequence[Sequence[str | int]],
        **inputs: object,
    ) -> list[list[RankedItem]]:
        """Scores of given candidates, in the order given.

        Args:
            histories: One a visitor.
            candidate_ids: Raw ids: one list for all histories, or one list for each.
            **inputs: Further inputs of the signature; a `candidate_` column has one value a
                candidate.

        Returns:
            For each history its candidates.
        """
        rows = self._histories(histories)
        each = lists(candidate_ids, len(rows), "candidate_ids")
        answer = self._ask("rank", rows, {"candidate_ids": each, **inputs})
        return [
            [
                RankedItem(item, float(answer["scores"][row, column]), bool(known[column]))
                for column, item in enumerate(candidates)
            ]
            for row, (candidates, known) in enumerate(zip(each, answer["known"], strict=True))
        ]

    def encode(self, histories: Sequence[AnyHistory], **inputs: object) -> NDArray[np.float32]:
        """The embeddings of histories, for a separate nearest-neighbor index.

        Args:
            histories: One a visitor.
            **inputs: Further inputs of the signature.

        Returns:
            float32 [B, D], or [B, M, D] of a model with M interests.
        """
        return self._ask("encode", self._histories(histories), inputs)["query_embeddings"]

    def versions(self) -> list[VersionStatus]:
        """The versions of the model that the server knows, and their states, highest first.

        All of them, whatever version or label this client asks: the server ignores labels here.
        """
        model = ModelReference(self.model.name)
        found = self._retrying(lambda seconds: self._transport.versions(model, seconds))
        return sorted(found, key=lambda one: -one.version)

    def is_ready(self) -> bool:
        """Whether the version that this client asks for would answer now; tries once."""
        try:
            self._transport.resolved_version(self.model, self.timeout)
        except ServingError:
            return False
        return True

    def resolved_version(self) -> int:
        """The number of the version that answers this client now."""
        return self._retrying(lambda seconds: self._transport.resolved_version(self.model, seconds))

    def signatures(self) -> dict[str, Signature]:
        """The inputs and outputs of each signature; the client asks the server once."""
        if self._signatures is None:
            self._signatures = self._retrying(
                lambda seconds: self._transport.signatures(self.model, seconds)
            )
        return self._signatures

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recommend(
        self,
        signature: str,
        histories: Sequence[AnyHistory],
        k: int | Sequence[int] | None,
        inputs: Mapping[str, object],
    ) -> list[list[Recommendation]]:
        rows = self._histories(histories)
        of_all = not isinstance(k, list | tuple | np.ndarray)
        values: Any = k
        each = [self.k if k is None else k] if of_all else list(values)
        try:
            ks = [min(positive_integer("k", one), 2**31 - 1) for one in each]
        except ValueError:
            text = f"`k` should be positive integers. Received: `k`={k!r}"
            raise ValueError(text) from None
        if of_all:
            ks *= len(rows)
        answer = self._ask(signature, rows, {"k": ks, **inputs})
        return [
            [
                Recommendation(item, score)
                for item, score in zip(ids[:one], scores[:one])
                if score > NO_SCORE
            ]
            for ids, scores, one in zip(
                answer["item_ids"].tolist(), answer["scores"].tolist(), ks, strict=True
            )
        ]

    def _histories(self, histories: Sequence[AnyHistory]) -> list[History]:
        sequence("histories", histories, "histories, one a visitor")
        if not len(histories):
            raise ValueError("`histories` should hold at least one history. Received: none")
        try:
            return [one if isinstance(one, History) else History(one) for one in histories]
        except ValueError as error:
            raise ValueError(
                f"`histories` should hold a `History` or a list of ids for each visitor: {error}"
            ) from error

    def _ask(
        self, signature: str, histories: list[History], inputs: Mapping[str, object]
    ) -> dict[str, NDArray]:
        begin = time.monotonic()
        offered = self.signatures()
        if signature not in offered:
            raise ValueError(
                f"The model should have the signature {signature!r}. It has: {sorted(offered)}"
            )
        specs = offered[signature]
        with reading(f"the signature `{signature}` is malformed", self._where):
            for spec in (*specs.inputs.values(), *specs.outputs.values()):
                _ = spec.array_dtype  # It raises an error for a type that no client reads.
        values = {
            name: one_a_row(name, value, specs.inputs.get(name), len(histories))
            for name, value in inputs.items()
        }
        request = make_inputs(
            specs.inputs,
            histories,
            values,
            history_length=self.history_length,
            list_length=self.list_length,
        )
        answer = self._retrying(
            lambda seconds: self._transport.predict(self.model, signature, request, specs, seconds),
            begin,
        )
        with reading(f"the answer to `{signature}` is malformed", self._where):
            check_outputs(signature, answer, len(histories))
            if signature == "rank" and answer["scores"].shape != request["candidate_ids"].shape:
                raise ValueError("it does not have one score for each candidate")
        return answer

    def _retrying(self, call: Callable[[float], ANSWER], begin: float | None = None) -> ANSWER:
        end = (time.monotonic() if begin is None else begin) + self.timeout
        for tried in range(self.retries + 1):
            try:
                return call(max(end - time.monotonic(), 1e-3))
            except ServingError as error:
                pause = min(self.backoff * 2**tried, LONGEST_PAUSE) * random.uniform(0.5, 1.5)
                last = tried == self.retries or time.monotonic() + pause >= end
                if last or not error.may_be_repeated:
                    raise
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    @property
    def _where(self) -> str:
        return f"{self._address}{self.model.path}"

    def _read_description(self, description: Mapping[str, object] | str | os.PathLike[str]) -> None:
        content: Any = description
        try:
            if not isinstance(description, Mapping):
                content = json.loads(pathlib.Path(description).read_text())
            padding = content.get("padding", {})
            self._signatures = {
                name: Signature(
                    *(
                        {key: _spec(one, padding.get(key)) for key, one in signature[side].items()}
                        for side in ("inputs", "outputs")
                    )
                )
                for name, signature in content["signatures"].items()
            }
            self.k = positive_integer("k", content["k"])
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise ValueError(
                "`description` should be signature.json of an export. Received: "
                f"{type(description).__name__}, {type(error).__name__}: {error}"
            ) from error


def _spec(tensor: Mapping[str, Any], filler: str | int | None) -> TensorSpec:
    return TensorSpec(str(tensor["dtype"]), len(tensor["shape"]), tensor.get("default"), filler)


def _transport(address: Address, max_response_bytes: int) -> Transport:
    if address.scheme != "grpc":
        return RestTransport(address, max_response_bytes)
    from tfsessionrec.client.grpc_transport import GrpcTransport

    return GrpcTransport(address, max_response_bytes)
