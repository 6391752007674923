"""A simulated log whose best reachable score is known."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import polars as pl

from tfsessionrec.data.vocabulary import Vocabulary

_BLOCK_CELLS = (
    1 << 22
)  # users × items handled at once: bounds the memory, part of the seed's meaning


@dataclasses.dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated log and the truth behind it, made by `simulate`.

    Attributes:
        events: One row a shown item: `user_id` (string), `session_id` (int64, no two sessions
            alike), `item_id` (string), `timestamp` (int64, unix seconds), `label` (1 clicked,
            0 shown but not clicked). Sorted by user, then time.
        item_ids: The raw id of each item, [num_items].
        user_ids: The raw id of each user, [num_users].
        item_factors: [num_items, dim], what each item is about.
        popularity: [num_items], each item's share of attention, summing to 1.
        last_interests: [num_users, dim], each user's interests in their last session.
        last_exposure: [num_users, dim], what the site took them for in that session.
    """

    events: pl.DataFrame
    item_ids: np.ndarray = dataclasses.field(repr=False)
    user_ids: np.ndarray = dataclasses.field(repr=False)
    item_factors: np.ndarray = dataclasses.field(repr=False)
    popularity: np.ndarray = dataclasses.field(repr=False)
    last_interests: np.ndarray = dataclasses.field(repr=False)
    last_exposure: np.ndarray = dataclasses.field(repr=False)
    slate_size: float
    targeting: float
    taste: float
    click_bias: float

    def true_probabilities(
        self,
        user_ids: Sequence[str] | np.ndarray | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> np.ndarray:
        """Probability of each item to be a positive of the user's last session.

        `P(positive) = P(shown) · P(click | shown)`, exactly, given the interests of that very
        session. Items of a session are independent, so no ranking has a higher expected Recall,
        HitRate or NDCG than the order of these probabilities (swap two items that stand the other
        way round: the expectation does not fall). A model sees only the sessions before, so it
        stays below. (Given that the session shows anything at all, all probabilities of a user
        grow by the same tiny factor.)

        Args:
            user_ids: The users, all by default. Memory is [users, items]: ask in blocks.
            vocabulary: If given, columns are its indices (padding and out-of-vocabulary 0);
                otherwise they follow `item_ids`.

        Returns:
            float32 [users, num_items] or [users, len(vocabulary)].

        Raises:
            ValueError: If a user is not of this simulation.
        """
        if user_ids is None:
            rows = np.arange(len(self.user_ids))
        else:
            wanted = np.asarray(user_ids, object)
            rows = np.minimum(np.searchsorted(self.user_ids, wanted), len(self.user_ids) - 1)
            strange = self.user_ids[rows] != wanted
            if strange.any():
                raise ValueError(
                    "`user_ids` should be users of this simulation. "
                    f"Received: {wanted[strange][0]!r}"
                )
        shown, clicked = _probabilities(
            self.last_interests[rows],
            self.last_exposure[rows],
            self.item_factors,
            self.popularity,
            slate_size=self.slate_size,
            targeting=self.targeting,
            taste=self.taste,
            click_bias=self.click_bias,
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

    where `x_t = sqrt(1 - exposure_noise) z_t + sqrt(exposure_noise) b` is what it takes the
    interests for, wrong in a way of its own (`b ~ N(0, 1/dim)`) with every user. A shown item is
    clicked with

    `P(click | shown) = σ(taste · z_t · v_i + click_bias)`.

    So both the clicks and what was shown in vain tell about the next session, whose outcome has
    exactly known probabilities.

    Args:
        num_users: Number of users.
        num_items: Number of items.
        sessions_per_user: Mean number of sessions (2 + Poisson). A session in which the site
            shows nothing leaves no trace.
        slate_size: Expected number of items shown a session.
        dim: Number of interests.
        drift: Share of the interests renewed from one session to the next, in [0, 1].
        popularity_skew: Exponent of Zipf's law; 0 makes all items equally popular.
        targeting: How much the site's choice follows the interests.
        exposure_noise: How wrong the site is about a user, in [0, 1]. 0: it shows what they like.
        taste: How much clicks follow the interests.
        click_bias: Log odds of a click on an item that leaves a user indifferent.
        seed: Everything follows from it.

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
    for name, count in (("num_users", num_users), ("num_items", num_items), ("dim", dim)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise ValueError(f"`{name}` should be a positive integer. Received: `{name}`={count!r}")
    for name, share in (("drift", drift), ("exposure_noise", exposure_noise)):
        if not 0 <= share <= 1:
            raise ValueError(f"`{name}` should be in [0, 1]. Received: `{name}`={share!r}")
    if sessions_per_user < 2:
        raise ValueError(
            f"`sessions_per_user` should be at least 2. Received: {sessions_per_user!r}"
        )
    if not 0 < slate_size <= num_items:
        raise ValueError(
            "`slate_size` should be positive and at most `num_items`. "
            f"Received: `slate_size`={slate_size!r}, `num_items`={num_items}"
        )

    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    item_factors = draw(num_items, dim)
    popularity = rng.permutation(np.arange(1, num_items + 1) ** -float(popularity_skew))
    popularity = (popularity / popularity.sum()).astype(np.float32)
    num_sessions = 2 + rng.poisson(sessions_per_user - 2, num_users)
    interests = draw(num_users, dim) / np.sqrt(dim, dtype=np.float32)
    mistaken = draw(num_users, dim) / np.sqrt(dim, dtype=np.float32)
    last_interests, last_exposure = interests.copy(), interests.copy()
    block = max(1, _BLOCK_CELLS // num_items)

    found: list[tuple[np.ndarray, ...]] = []  # user, step, item, clicked
    for step in range(num_sessions.max()):
        if step > 0:
            interests = np.float32(np.sqrt(1 - drift)) * interests + np.float32(
                np.sqrt(drift / dim)
            ) * draw(num_users, dim)
        exposure = (
            np.float32(np.sqrt(1 - exposure_noise)) * interests
            + np.float32(np.sqrt(exposure_noise)) * mistaken
        )
        active = np.flatnonzero(num_sessions > step)
        for users in np.split(active, range(block, len(active), block)):
            shown, clicked = _probabilities(
                interests[users],
                exposure[users],
                item_factors,
                popularity,
                slate_size=slate_size,
                targeting=targeting,
                taste=taste,
                click_bias=click_bias,
            )
            row, item = np.nonzero(rng.random(shown.shape, np.float32) < shown)
            label = rng.random(len(row), np.float32) < clicked[row, item]
            found.append((users[row], np.full(len(row), step), item, label))
            seen = users[np.unique(row)]
            last_interests[seen], last_exposure[seen] = interests[seen], exposure[seen]

    user, session, item, label = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Simulation(
        events=_events(rng, num_sessions, user, session, item, label, num_items),
        item_ids=_names("i", num_items),
        user_ids=_names("u", num_users),
        item_factors=item_factors,
        popularity=popularity,
        last_interests=last_interests,
        last_exposure=last_exposure,
        slate_size=slate_size,
        targeting=targeting,
        taste=taste,
        click_bias=click_bias,
    )


def _probabilities(
    interests: np.ndarray,
    exposure: np.ndarray,
    item_factors: np.ndarray,
    popularity: np.ndarray,
    *,
    slate_size: float,
    targeting: float,
    taste: float,
    click_bias: float,
) -> tuple[np.ndarray, np.ndarray]:
    """P(shown) and P(click | shown), float32 [users, items] each."""
    weights = popularity * np.exp(np.float32(targeting) * (exposure @ item_factors.T))
    shown = np.minimum(1, np.float32(slate_size) * weights / weights.sum(-1, keepdims=True))
    logits = np.float32(taste) * (interests @ item_factors.T) + np.float32(click_bias)
    return shown, 1 / (1 + np.exp(-logits))


def _events(
    rng: np.random.Generator,
    num_sessions: np.ndarray,
    user: np.ndarray,
    step: np.ndarray,
    item: np.ndarray,
    label: np.ndarray,
    num_items: int,
) -> pl.DataFrame:
    """The log: shown items in random order within a session, some seconds apart."""
    offsets = np.concatenate([[0], np.cumsum(num_sessions)])
    session = offsets[user] + step
    # Sessions start 2 hours to some days apart: a gap of an hour tells them from one another.
    waits = 7200 + rng.exponential(2 * 86400, offsets[-1]).astype(np.int64)
    elapsed = np.cumsum(waits)
    starts = 1_700_000_000 + elapsed - np.repeat(elapsed[offsets[:-1]], num_sessions)
    starts += np.repeat(rng.integers(0, 86400, len(num_sessions)), num_sessions)

    order = np.lexsort((rng.random(len(session)), session))
    user, session, item, label = user[order], session[order], item[order], label[order]
    first = np.searchsorted(session, session)
    seconds = np.minimum(20 * (np.arange(len(session)) - first), 3600)
    return pl.DataFrame(
        {
            "user_id": pl.Series(_names("u", len(num_sessions))).gather(user),
            "session_id": session,
            "item_id": pl.Series(_names("i", num_items)).gather(item),
            "timestamp": starts[session] + seconds,
            "label": label.astype(np.int8),
        }
    )


def _names(letter: str, count: int) -> np.ndarray:
    """`count` ids of equal width, in order, as Python strings."""
    width = max(5, len(str(count - 1)))
    return np.array([f"{letter}{number:0{width}d}" for number in range(count)], object)
