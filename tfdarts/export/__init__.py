"""Trained networks as files that run without this package: SavedModel, LiteRT, ONNX."""
