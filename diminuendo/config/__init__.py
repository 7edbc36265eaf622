"""The typed form of ``params.yaml``."""

from diminuendo.config.load import load_params, parse_params
from diminuendo.config.schema import Params

__all__ = ["Params", "load_params", "parse_params"]
