"""The typed form of ``params.yaml``."""

from diminuendo.parameters.load import load_params, parse_params
from diminuendo.parameters.schema import Params

__all__ = ["Params", "load_params", "parse_params"]
