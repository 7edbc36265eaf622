"""What the tensors of a stored file are called; here, so that it can be asked without the package onnx."""

from __future__ import annotations

import re

PACKED_NAME = re.compile(r"packed([48])_\d+_quantized")  # codes; their scales end in _scale
STORED_NAME = re.compile(
    r"(int[2-8]|weights)(_\d+)?(_quantized|_half|_sizes)|int[48]_\d+_scale|vectors(_quantized|_scale|_half)|packed[48]_\d+(_quantized|_scale)"
)
