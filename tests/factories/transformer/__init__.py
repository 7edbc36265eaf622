"""A second family of models, in the tests alone: a plain pre-norm Transformer (Xiong et al. 2020) with CTC.

Its names are unlike a Conformer's on purpose. Nothing outside of this package knows it: what works on it works on the
protocol of a model and on its structure.
"""

from diminuendo.export import registry as writers
from diminuendo.models import registry
from diminuendo.models.family import ModelFamily
from tests.factories.transformer.config import TransformerConfig, record_of
from tests.factories.transformer.module import TransformerCTC
from tests.factories.transformer.record import BlockRecord, TransformerRecord

KIND = "transformer-of-the-tests"


def _writer():
    from tests.factories.transformer.onnx_writer import build_onnx

    return build_onnx


registry.FAMILIES[KIND] = lambda: ModelFamily(KIND, TransformerRecord, TransformerCTC, record_of)
writers.WRITERS[KIND] = _writer

__all__ = ["KIND", "BlockRecord", "TransformerCTC", "TransformerConfig", "TransformerRecord"]
