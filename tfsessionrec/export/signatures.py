"""The signatures of a served model, as TensorFlow functions."""

from typing import TYPE_CHECKING

import tensorflow as tf

from tfsessionrec.export import tracing
from tfsessionrec.export.contract import (
    NO_SCORE,
    SIGNATURES,
    ConcreteFunction,
    input_shape,
)
from tfsessionrec.export.history import check_spec
from tfsessionrec.export.item_attributes import ItemAttributes, ItemTables
from tfsessionrec.export.live_files import AvailabilityFile, Path, TrendFile
from tfsessionrec.export.ranking import CandidateOptions, Ranking
from tfsessionrec.export.request import IdTables, RequestReader, check_rows, check_seconds
from tfsessionrec.export.served_model import ServedModel, trend_of
from tfsessionrec.history_spec import Category, HistorySpec

if TYPE_CHECKING:
    from tfsessionrec.data import Vocabulary


class ServingSignatures(tf.Module):
    """The signatures of a model: the functions of tensors that a server runs.

    `recommend`, `recommend_filtered` (with business rules), `rank`, `encode` and `similar_items`.

    It is apart from the model, so that an export holds these functions, the tables of ids, the
    candidate embeddings (computed once, here) and the variables the encoder reads; no optimizer, no
    losses, nothing of Keras.

    Every input is dense and has the batch as its first dimension; the client pads. A history is
    `item_ids` [B, N] raw ids, oldest first, and `session_index` int32 [B, N], the session of each
    item; -1 is padding, and so is an id of "". A new session begins wherever the number changes.
    The signatures also take, for each item, what the model reads by its specification:

    - `labels` float32 [B, N]: 1 positive, 0 shown but not clicked;
    - `timestamps` int64 [B, N], unix seconds: a session begins at that of its first item; times
      after the year 10000, such as milliseconds, are an error, in `request_times` too;
    - `interaction_types` [B, N], raw;
    - one input [B, N] for each context feature, raw; a session takes its first item's.

    A model with a `relation` ranks candidates as what one more session shows, in the order given.
    `rank` then also takes `labels`, `timestamps`, `position` int32 [B, N] (above 0 where an item of
    the history was one of a shown list), `request_times` int64 [B] and a `candidate_` float32
    [B, C] for each numeric column; unknown candidates have scores of their own, as in training, and
    there is no fallback to popularity.

    A model with a `trend` adds its terms from a file among the assets, which each request reads:
    replacing it updates the model with what is clicked now (`write_trend_file`). Without the file
    the terms are 0, and popularity decides for a history without one known item; with it, the terms
    alone do.

    `recommend_filtered` takes further inputs, each [B]: `tag_mask` int64 with tags of items,
    `max_per_category` int32 with categories, `freshness` float32 and `request_times` int64 with
    times. No row of a batch changes the answer to another.

    With an `availability_file` the items it names are never recommended, by whatever signature;
    each request reads it (`write_availability_file`). `rank` scores what it is given.

    An unknown item has the index of the first out-of-vocabulary bucket, 1. A history without one
    known item has zeros for its embedding, and popularity decides:
    `score(item) = log((count + 1) / sum(count + 1))`.

    Args:
        model: A `query_model.QueryModel`, or any object with `encode(features)` → [B, D] (or
            [B, M, D] for M interests, of which the best one scores an item) and
            `candidate_embeddings()` → [vocabulary_size, D].
        vocabulary: The `Vocabulary` the model was trained with.
        vocabulary_file: Text file of the vocabulary's raw ids, one a line; it becomes an asset.
        spec: What the model reads of a history.
        items: Attributes of items, for the rules of `recommend_filtered`. Defaults to none.
        candidates: How candidate embeddings are stored and compared. Defaults to float32, exact,
            and cosine.
        trend_file: The trend table of a model with a `trend`; it becomes an asset.
        availability_file: What `write_availability_file` wrote next to `vocabulary_file`; it
            becomes an asset. Defaults to None: all items are always available.

    Raises:
        ValueError: If the model does not take a history of full size, embeddings are not finite
            numbers of the shapes above, or `spec` is not of this model and vocabulary.
        TypeError: If `model` is no such object.
    """

    def __init__(
        self,
        model: object,
        vocabulary: "Vocabulary",
        vocabulary_file: Path,
        spec: HistorySpec,
        *,
        items: ItemAttributes | None = None,
        candidates: CandidateOptions | None = None,
        trend_file: Path | None = None,
        availability_file: Path | None = None,
    ) -> None:
        super().__init__(name="serving_signatures")
        check_spec(spec, model, vocabulary)
        self.spec = spec
        self.items = ItemAttributes() if items is None else items
        self.candidates = CandidateOptions() if candidates is None else candidates
        self._ids = IdTables(vocabulary, vocabulary_file, spec.padding_id)
        self.request = RequestReader(spec, self._ids)
        self._item_tables = ItemTables(self.items, vocabulary)
        trend = trend_of(model)
        self._trend_file: TrendFile | None = None
        if trend is not None:
            if trend_file is None:
                raise ValueError("`trend_file` should be given for a model with a trend")
            self._trend_file = TrendFile(trend_file, trend)
        self._served = ServedModel(model, spec, len(vocabulary), self._trend_file)
        embeddings = self._served.candidates(self.request.longest())[spec.first_item_index :]
        availability = None
        if availability_file is not None:
            availability = AvailabilityFile(availability_file, vocabulary_file)
        self.has_availability = availability is not None
        self._ranking = Ranking(
            embeddings, vocabulary, self._ids, self._item_tables, self.candidates, availability
        )

    @property
    def num_interests(self) -> int:
        """Vectors of a query."""
        return self._served.num_interests

    @property
    def num_items(self) -> int:
        """Items that may be recommended."""
        return self._ids.num_items

    @property
    def id_dtype(self) -> tf.DType:
        """Of raw ids."""
        return self._ids.dtype

    @property
    def categories(self) -> dict[str, tuple[Category, ...]]:
        """The categories of each input that has some."""
        return self.request.categories

    @property
    def rule_inputs(self) -> dict[str, tf.DType]:
        """Inputs of `recommend_filtered` that need attributes of items."""
        return self._item_tables.inputs

    def recommend(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        k: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores, out of all items; exact.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            k: int32 [B], how many items each row asks for.
            **item_inputs: [B, N], what else the model reads.

        Returns:
            `item_ids` [B, K] raw ids and `scores` float32 [B, K], highest first (of equal scores,
            the item that comes first in the vocabulary), with K = min(max(k), number of items).
            Beyond a row's own k, the id is "" or -1 and the score the lowest float32; a row
            whose k is not positive gets nothing else.
        """
        with tf.control_dependencies(check_rows(item_ids, k=k)):
            asked = self._served.asked(self.request.batch(item_ids, session_index, item_inputs))
            return self._ranking.recommend(asked, k)

    def recommend_filtered(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        k: tf.Tensor,
        exclude_ids: tf.Tensor,
        allow_ids: tf.Tensor,
        exclude_seen: tf.Tensor,
        diversity: tf.Tensor,
        **more: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The k items with the highest scores out of those that the rules of each row allow.

        Rules are hard: what they forbid is not in the answer, even if that is then shorter. The
        order: masks; freshness, part of the scores from then on; the cap per category, which
        keeps the best of each; diversity, which chooses the k among the first
        `min(5 k, 1000)` of the rest (and no fewer than k) and orders them.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            k: int32 [B], how many items each row asks for.
            exclude_ids: [B, X] raw ids that must not be recommended, padded with "" or -1.
            allow_ids: [B, A] raw ids, the only ones that may be, padded; a row of padding alone
                allows all.
            exclude_seen: bool [B], whether no item of the history may be recommended, however far
                back, clicked or not.
            diversity: float32 [B], see `rules.maximal_marginal_relevance`; 0 for none.
            **more: [B, N], what else the model reads; and where the export knows the items'

                - tags: `tag_mask` int64 [B], see `rules.has_tags`; 0 allows all;
                - times: `freshness` float32 [B], see `rules.freshness_bonus`, 0 for none, and
                  `request_times` int64 [B];
                - categories: `max_per_category` int32 [B], 0 for no limit.

        Returns:
            `item_ids` [B, K] and `scores` float32 [B, K] as `recommend` gives them, in the order
            of diversity where a row asks for it. Scores include the bonus of freshness.
        """
        rules = {name: more.pop(name) for name in self.rule_inputs}
        rules |= {"exclude_ids": exclude_ids, "allow_ids": allow_ids}
        rules |= {"exclude_seen": exclude_seen, "diversity": diversity}
        times = {name: rules[name] for name in rules if name == "request_times"}
        inputs = {"item_ids": item_ids, "session_index": session_index, **rules}
        with tf.control_dependencies(
            [*check_rows(item_ids, k=k, **rules), *check_seconds(**times)]
        ):
            asked = self._served.asked(self.request.batch(item_ids, session_index, more))
            return self._ranking.recommend_filtered(asked, k, inputs)

    def similar_items(self, item_ids: tf.Tensor, k: tf.Tensor) -> dict[str, tf.Tensor]:
        """The k items most similar to an item, by the cosine or product of their embeddings.

        Args:
            item_ids: [B] raw ids.
            k: int32 [B], how many items each row asks for.

        Returns:
            `item_ids` [B, K] raw ids and `scores` float32 [B, K], most similar first, with
            K = min(max(k), number of items), padded as those of `recommend`; never the item
            itself. `known` bool [B]: an item that is not in the vocabulary is like no other.
        """
        with tf.control_dependencies(check_rows(item_ids, k=k)):
            return self._ranking.similar(item_ids, k)

    def rank(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        candidate_ids: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Scores of given candidates, in the order given.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            candidate_ids: [B, C] raw ids.
            **item_inputs: [B, N], what else the model reads, and what its relation does.

        Returns:
            `scores` float32 [B, C] and `known` bool [B, C]. A candidate that is not in the
            vocabulary (padding included) is not known and has the lowest float32 as its score;
            with a relation only padding has.
        """
        if self.spec.relation is None:
            with tf.control_dependencies(check_rows(item_ids, candidate_ids=candidate_ids)):
                batch = self.request.batch(item_ids, session_index, item_inputs)
                return self._ranking.rank(self._served.asked(batch), candidate_ids)
        history, shown = self.request.shown(item_ids, session_index, candidate_ids, item_inputs)
        scores = self._served.score_shown(history, shown)
        return {"scores": tf.where(shown.shown, scores, NO_SCORE), "known": shown.known}

    def encode(
        self,
        item_ids: tf.Tensor,
        session_index: tf.Tensor,
        **item_inputs: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """The embedding of a history, for an index of one's own.

        Args:
            item_ids: [B, N] raw ids, oldest first.
            session_index: int32 [B, N].
            **item_inputs: [B, N], what else the model reads.

        Returns:
            `query_embeddings` float32 [B, D], of M > 1 interests [B, M, D]; zeros where no item of
            the history is known.
        """
        batch = self.request.batch(item_ids, session_index, item_inputs)
        embeddings = self._served.queries(batch).embeddings
        return {"query_embeddings": embeddings[:, 0] if self.num_interests == 1 else embeddings}

    def input_specs(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs of a signature by name."""
        more: dict[str, tf.DType] = {}
        inputs = ["item_ids", *SIGNATURES[signature][0]]
        if signature != "similar_items":
            further = {
                "rank": self.request.rank_inputs,
                "recommend_filtered": self.rule_inputs,
            }
            more = {**self.request.item_inputs, **further.get(signature, {})}
            inputs = ["item_ids", "session_index", *SIGNATURES[signature][0], *more]
        ids = ("item_ids", "candidate_ids", "exclude_ids", "allow_ids")
        dtypes = {
            **dict.fromkeys(ids, self.id_dtype),
            "exclude_seen": tf.bool,
            "diversity": tf.float32,
            **more,
        }
        return {
            name: tf.TensorSpec(
                [None] * len(input_shape(name, signature)), dtypes.get(name, tf.int32), name
            )
            for name in inputs
        }

    def concrete_functions(self) -> dict[str, ConcreteFunction]:
        """Traces the signatures and tracks all that they read.

        Returns:
            Concrete functions by signature name.
        """
        methods: dict[str, tracing.Method] = {
            "recommend": self.recommend,
            "recommend_filtered": self.recommend_filtered,
            "rank": self.rank,
            "encode": self.encode,
            "similar_items": self.similar_items,
        }
        functions = {
            name: tracing.trace(methods[name], self.input_specs(name)) for name in SIGNATURES
        }
        variables, own = tracing.variables_of(functions.values()), {id(v) for v in self.variables}
        self._model_variables = [variable for variable in variables if id(variable) not in own]
        if tracing.reads_other_resources(functions.values(), variables, self.request.tables):
            self._whole_model = self._served.model
        return functions
