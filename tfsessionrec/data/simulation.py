"""A simulated log with a known best score."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tfsessionrec import checks
from tfsessionrec.checks import positive_integer
from tfsessionrec.data.vocabulary import Vocabulary

# Users × items handled at once: bounds the memory. Another value draws another log.
_BLOCK_CELLS = 1 << 22


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """A simulated site: its items, and the probabilities of showing and clicking them.

    Args:
        item_factors: float32 [num_items, dim], the topics of each item.
        popularity: float32 [num_items], each item's share of attention, summing to 1.
        slate_size: As in `simulate`, and so are the others.
        targeting: Strength of the targeting.
        taste: Strength of the taste.
        click_bias: Log odds of a click.
    """

    item_factors: NDArray[np.float32] = dataclasses.field(repr=False)
    popularity: NDArray[np.float32] = dataclasses.field(repr=False)
    slate_size: float
    targeting: float
    taste: float
    click_bias: float

    def probabilities(
        self, interests: NDArray[np.float32], exposure: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """P(shown) and P(click | shown), float32 [users, items] each.

        Args:
            interests: [users, dim], the interests of the users.
            exposure: [users, dim], the interests that the site assumes.
        """
        scores = np.float32(self.targeting) * (exposure @ self.item_factors.T)
        weights = self.popularity * np.exp(scores)
        shown = np.float32(self.slate_size) * weights / weights.sum(-1, keepdims=True)
        logits = np.float32(self.taste) * (interests @ self.item_factors.T)
        return np.minimum(1, shown), 1 / (1 + np.exp(-(logits + np.float32(self.click_bias))))


@dataclasses.dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated log and the truth behind it, made by `simulate`.

    Attributes:
        events: One row a shown item: `user_id` (string), `session_id` (int64, distinct for each
            session), `item_id` (string), `timestamp` (int64, unix seconds), `label` (1 clicked,
            0 shown but not clicked). Sorted by user, then time.
        item_ids: The raw id of each item, [num_items].
        user_ids: The raw id of each user, [num_users].
        site: The items, and how they are shown and clicked.
        last_interests: [num_users, dim], each user's interests in their last session.
        last_exposure: [num_users, dim], the interests that the site assumed in that session.
    """

    events: pl.DataFrame
    item_ids: NDArray[np.object_] = dataclasses.field(repr=False)
    user_ids: NDArray[np.object_] = dataclasses.field(repr=False)
    site: Site
    last_interests: NDArray[np.float32] = dataclasses.field(repr=False)
    last_exposure: NDArray[np.float32] = dataclasses.field(repr=False)

    @property
    def item_factors(self) -> NDArray[np.float32]:
        """The topics of each item, [num_items, dim]."""
        return self.site.item_factors

    @property
    def popularity(self) -> NDArray[np.float32]:
        """Each item's share of attention, [num_items], summing to 1."""
        return self.site.popularity

    def true_probabilities(
        self,
        user_ids: Sequence[str] | NDArray[np.object_] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> NDArray[np.float32]:
        """Probability of each item to be a positive of the user's last session.

        `P(positive) = P(shown) · P(click | shown)`, exactly, given the interests of that session.
        Items of a session are independent, so no ranking has a higher expected Recall, HitRate or
        NDCG than the order of these probabilities (sorting two swapped items never lowers the
        expectation). A model reads only the sessions before, so it stays below. (Given that the
        session shows any item, all probabilities of a user grow by the same tiny factor.)

        Args:
            user_ids: The users, all by default. Memory is [users, items]: ask in blocks.
            vocabulary: If given, columns are its indices (padding and out-of-vocabulary 0);
                otherwise they follow `item_ids`.

        Returns:
            float32 [users, num_items] or [users, len(vocabulary)].

        Raises:
            ValueError: If a user is not of this simulation.
        """
        if vocabulary is not None:
            checks.instance("vocabulary", vocabulary, Vocabulary)
        if user_ids is None:
            rows = np.arange(len(self.user_ids))
        else:
            checks.sequence("user_ids", user_ids, "users")
            wanted = np.asarray(user_ids, object)
            for user in wanted.reshape(-1):
                checks.text("user_ids", user)
            rows = np.minimum(np.searchsorted(self.user_ids, wanted), len(self.user_ids) - 1)
            unknown = self.user_ids[rows] != wanted
            if unknown.any():
                raise ValueError(
                    "`user_ids` should be users of this simulation. "
                    f"Received: {wanted[unknown][0]!r}"
                )
        shown, clicked = self.site.probabilities(
            self.last_interests[rows], self.last_exposure[rows]
        )
        probabilities = shown * clicked
        if vocabulary is None:
            return probabilities
        indices = vocabulary.lookup(self.item_ids)
        known = indices >= vocabulary.first_item_index
        columns = np.zeros((len(rows), len(vocabulary)), np.float32)
        columns[:, indices[known]] = probabilities[:, known]
        return columns


def simulate(
    num_users: int = 3000,
    num_items: int = 800,
    *,
    sessions_per_user: float = 9.0,
    slate_size: float = 10.0,
    dim: int = 6,
    drift: float = 0.1,
    popularity_skew: float = 0.5,
    targeting: float = 1.5,
    exposure_noise: float = 0.8,
    taste: float = 6.0,
    click_bias: float = -6.0,
    seed: int = 0,
) -> Simulation:
    r"""Simulates visitors of a site whose interests drift from session to session.

    Items have factors `v_i ~ N(0, 1)` and a popularity `q_i ∝ rank^(-popularity_skew)`. In
    session t a user has interests

    `z_t = sqrt(1 - drift) z_{t-1} + sqrt(drift) ε_t`,   `z_0, ε_t ~ N(0, 1/dim)`,

    and the site shows each item independently with

    `P(shown) = min(1, slate_size · w_i / Σ_j w_j)`,   `w_i = q_i exp(targeting · x_t · v_i)`,

    where `x_t = sqrt(1 - exposure_noise) z_t + sqrt(exposure_noise) b` are the interests that the
    site assumes, with an error `b ~ N(0, 1/dim)` for each user. A shown item is clicked with

    `P(click | shown) = σ(taste · z_t · v_i + click_bias)`.

    So both clicked items and items that were shown but not clicked predict the next session, whose
    outcome has exactly known probabilities.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        sessions_per_user: Mean number of sessions (2 + Poisson). The log has no row of a session
            in which the site shows no item.
        slate_size: Expected number of items shown a session.
        dim: Number of interests.
        drift: Share of the interests renewed from one session to the next, in [0, 1].
        popularity_skew: Exponent of Zipf's law; 0 makes all items equally popular.
        targeting: How much the site's choice follows the interests it assumes.
        exposure_noise: Share of error in the interests that the site assumes, in [0, 1].
        taste: How much clicks follow the interests.
        click_bias: Log odds of a click on an item to which a user is indifferent.
        seed: Seed of all draws.

    Returns:
        A `Simulation`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> from tfsessionrec.data import sessionize, simulate
    >>> simulation = simulate(num_users=20, num_items=50, seed=1)
    >>> sessions = sessionize(
    ...     simulation.events, user="user_id", session="session_id", label="label"
    ... )
    >>> sessions.num_users
    20
    >>> simulation.true_probabilities(["u00003"]).shape
    (1, 50)
    """
    positive_integer("num_users", num_users)
    positive_integer("num_items", num_items)
    positive_integer("dim", dim)
    for name, share in (("drift", drift), ("exposure_noise", exposure_noise)):
        if not (checks.is_number(share) and 0 <= share <= 1):
            raise ValueError(f"`{name}` should be in [0, 1]. Received: `{name}`={share!r}")
    numbers = {
        "sessions_per_user": sessions_per_user,
        "slate_size": slate_size,
        "popularity_skew": popularity_skew,
        "targeting": targeting,
        "taste": taste,
        "click_bias": click_bias,
    }
    for name, value in numbers.items():
        checks.number(name, value)
    checks.non_negative_integer("seed", seed)
    if sessions_per_user < 2:
        raise ValueError(
            "`sessions_per_user` should be at least 2. "
            f"Received: `sessions_per_user`={sessions_per_user!r}"
        )
    if not 0 < slate_size <= num_items:
        raise ValueError(
            "`slate_size` should be positive and at most `num_items`. "
            f"Received: `slate_size`={slate_size!r}, `num_items`={num_items}"
        )
    rng = np.random.default_rng(seed)
    item_factors = rng.standard_normal((num_items, dim), np.float32)
    popularity = rng.permutation(np.arange(1, num_items + 1) ** -float(popularity_skew))
    popularity = (popularity / popularity.sum()).astype(np.float32)
    site = Site(item_factors, popularity, slate_size, targeting, taste, click_bias)
    num_sessions = 2 + rng.poisson(sessions_per_user - 2, num_users)
    shown, last_interests, last_exposure = _visits(rng, site, num_sessions, drift, exposure_noise)
    return Simulation(
        events=_events(rng, num_sessions, shown, num_items),
        item_ids=_names("i", num_items),
        user_ids=_names("u", num_users),
        site=site,
        last_interests=last_interests,
        last_exposure=last_exposure,
    )


class _Shown(NamedTuple):
    """The shown items, one entry each."""

    user: NDArray[np.int64]
    step: NDArray[np.int64]  # number of the session of the user
    item: NDArray[np.int64]
    clicked: NDArray[np.bool_]


def _visits(
    rng: np.random.Generator,
    site: Site,
    num_sessions: NDArray[np.int64],
    drift: float,
    exposure_noise: float,
) -> tuple[_Shown, NDArray[np.float32], NDArray[np.float32]]:
    """The shown items of all sessions; each user's interests, and the assumed ones, in the last."""
    num_users, (num_items, dim) = len(num_sessions), site.item_factors.shape

    def draw() -> NDArray[np.float32]:
        return rng.standard_normal((num_users, dim), np.float32)

    interests = draw() / np.sqrt(dim, dtype=np.float32)
    error = draw() / np.sqrt(dim, dtype=np.float32)
    last_interests, last_exposure = interests.copy(), interests.copy()
    block = max(1, _BLOCK_CELLS // num_items)
    parts: list[_Shown] = []
    for step in range(num_sessions.max()):
        if step > 0:
            kept = np.float32(np.sqrt(1 - drift)) * interests
            interests = kept + np.float32(np.sqrt(drift / dim)) * draw()
        exposure = (
            np.float32(np.sqrt(1 - exposure_noise)) * interests
            + np.float32(np.sqrt(exposure_noise)) * error
        )
        active = np.flatnonzero(num_sessions > step)
        for users in np.split(active, range(block, len(active), block)):
            shown, clicked = site.probabilities(interests[users], exposure[users])
            row, item = np.nonzero(rng.random(shown.shape, np.float32) < shown)
            label = rng.random(len(row), np.float32) < clicked[row, item]
            parts.append(_Shown(users[row], np.full(len(row), step), item, label))
            seen = users[np.unique(row)]
            last_interests[seen], last_exposure[seen] = interests[seen], exposure[seen]
    joined = _Shown(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return joined, last_interests, last_exposure


def _events(
    rng: np.random.Generator, num_sessions: NDArray[np.int64], shown: _Shown, num_items: int
) -> pl.DataFrame:
    """The log: shown items in random order within a session, some seconds apart."""
    offsets = np.concatenate([[0], np.cumsum(num_sessions)])
    session = offsets[shown.user] + shown.step
    # Sessions start 2 hours to some days apart: a gap of an hour separates them.
    waits = 7200 + rng.exponential(2 * 86400, offsets[-1]).astype(np.int64)
    elapsed = np.cumsum(waits)
    starts = 1_700_000_000 + elapsed - np.repeat(elapsed[offsets[:-1]], num_sessions)
    starts += np.repeat(rng.integers(0, 86400, len(num_sessions)), num_sessions)

    order = np.lexsort((rng.random(len(session)), session))
    session = session[order]
    first = np.searchsorted(session, session)
    seconds = np.minimum(20 * (np.arange(len(session)) - first), 3600)
    return pl.DataFrame(
        {
            "user_id": pl.Series(_names("u", len(num_sessions))).gather(shown.user[order]),
            "session_id": session,
            "item_id": pl.Series(_names("i", num_items)).gather(shown.item[order]),
            "timestamp": starts[session] + seconds,
            "label": shown.clicked[order].astype(np.int8),
        }
    )


def _names(letter: str, count: int) -> NDArray[np.object_]:
    """`count` ids of equal width, in order, as Python strings."""
    width = max(5, len(str(count - 1)))
    return np.array([f"{letter}{number:0{width}d}" for number in range(count)], object)
