"""Samplers of negatives, each with the expected counts of its sample."""

from tfsessionrec.sampling.negative_sampler import NegativeSampler
from tfsessionrec.sampling.popularity import (
    PopularityTable,
    popularity_candidates,
    popularity_table,
)
from tfsessionrec.sampling.samplers import (
    SampledCandidates,
    in_batch_candidates,
    log_uniform_candidates,
    mixed_candidates,
    uniform_candidates,
)

__all__ = [
    "NegativeSampler",
    "PopularityTable",
    "SampledCandidates",
    "in_batch_candidates",
    "log_uniform_candidates",
    "mixed_candidates",
    "popularity_candidates",
    "popularity_table",
    "uniform_candidates",
]
