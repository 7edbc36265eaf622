"""A second family of models, in the tests alone: a plain pre-norm Transformer (Xiong et al. 2020) with CTC.

Its names are unlike a Conformer's on purpose. Nothing outside of this package knows it: what works on it works on the
protocol of a model and on its structure.
"""

from diminuendo.models.families import FAMILIES, PRETRAINED
from tests.factories.transformer.config import TransformerConfig
from tests.factories.transformer.module import TransformerCTC
from tests.factories.transformer.record import BlockRecord, TransformerRecord

KIND = "transformer-of-the-tests"
FAMILIES[KIND] = __name__
PRETRAINED["tiny_transformer"] = KIND

__all__ = ["KIND", "BlockRecord", "TransformerCTC", "TransformerConfig", "TransformerRecord"]
