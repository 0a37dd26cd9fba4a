"""Doors to other tools: the hub, spandrel, ONNX, OpenVINO."""
