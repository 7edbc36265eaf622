"""Writing ONNX graphs: the builder, and the frontend that every model's graph begins with."""
