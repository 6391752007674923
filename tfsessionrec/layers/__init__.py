"""Keras layers: item and interaction embedding, session encoders (ISE), sequence encoders (SSE)."""

from tfsessionrec.layers.hstu_block import HSTUBlock
from tfsessionrec.layers.interaction_embedding import InteractionEmbedding
from tfsessionrec.layers.ise.base import ItemSessionEncoder
from tfsessionrec.layers.ise.gru import GRUISE
from tfsessionrec.layers.ise.narm import NARMISE
from tfsessionrec.layers.ise.pooling import AttentionISE, MaxISE, MeanISE, SumISE
from tfsessionrec.layers.ise.srgnn import SRGNNISE
from tfsessionrec.layers.ise.stamp import STAMPISE
from tfsessionrec.layers.ise.transformer import TransformerISE
from tfsessionrec.layers.item_embedding import ItemEmbedding
from tfsessionrec.layers.multi_interest_head import MultiInterestHead
from tfsessionrec.layers.position_embedding import PositionEmbedding
from tfsessionrec.layers.session_context import SessionContext
from tfsessionrec.layers.sse.base import SessionSequenceEncoder
from tfsessionrec.layers.sse.gru import GRUSSE
from tfsessionrec.layers.sse.hstu import HSTUSSE
from tfsessionrec.layers.sse.pointwise import MLPSSE, IdentitySSE
from tfsessionrec.layers.sse.sasrec import SASRecSSE
from tfsessionrec.layers.terms.habit import HabitFeatures
from tfsessionrec.layers.terms.relation import RelationFeatures
from tfsessionrec.layers.terms.trend import TrendFeatures
from tfsessionrec.layers.time_gap_embedding import TimeGapEmbedding
from tfsessionrec.layers.transformer_block import TransformerBlock

__all__ = [
    "GRUISE",
    "GRUSSE",
    "HSTUSSE",
    "MLPSSE",
    "NARMISE",
    "SRGNNISE",
    "STAMPISE",
    "AttentionISE",
    "HSTUBlock",
    "HabitFeatures",
    "IdentitySSE",
    "InteractionEmbedding",
    "ItemEmbedding",
    "ItemSessionEncoder",
    "MaxISE",
    "MeanISE",
    "MultiInterestHead",
    "PositionEmbedding",
    "RelationFeatures",
    "SASRecSSE",
    "SessionContext",
    "SessionSequenceEncoder",
    "SumISE",
    "TimeGapEmbedding",
    "TransformerBlock",
    "TransformerISE",
    "TrendFeatures",
]
