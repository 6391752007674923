"""Negative samplers, each with its expected counts."""

from tfsessionrec.sampling.in_batch import in_batch_candidates
from tfsessionrec.sampling.mixed import mixed_candidates
from tfsessionrec.sampling.sampled_candidates import SampledCandidates
from tfsessionrec.sampling.uniform import uniform_candidates

__all__ = ["SampledCandidates", "in_batch_candidates", "mixed_candidates", "uniform_candidates"]
