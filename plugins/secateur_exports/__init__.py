"""Exporters of whole models: LiteRT, ONNX, OpenVINO, torch.export; each file is run at once."""
