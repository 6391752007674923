"""Negative samplers, each with its expected counts."""

from tfsessionrec.sampling.in_batch import in_batch_candidates
from tfsessionrec.sampling.log_uniform import log_uniform_candidates
from tfsessionrec.sampling.mixed import mixed_candidates
from tfsessionrec.sampling.negative_sampler import NegativeSampler
from tfsessionrec.sampling.popularity import (
    PopularityTable,
    popularity_candidates,
    popularity_table,
)
from tfsessionrec.sampling.sampled_candidates import SampledCandidates
from tfsessionrec.sampling.uniform import uniform_candidates

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
