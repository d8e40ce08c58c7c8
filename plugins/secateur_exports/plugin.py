"""The hooks: one exporter for each form.  Light: converters are imported when they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secateur import hookimpl
from secateur_exports.litert import LitertExporter
from secateur_exports.onnx import OnnxExporter
from secateur_exports.openvino import OpenvinoExporter
from secateur_exports.program import ProgramAdapter
from secateur_exports.torch_export import TorchExporter

if TYPE_CHECKING:
    from secateur import Exporter
    from secateur.adapter import Adapter


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [ProgramAdapter()]


@hookimpl
def secateur_exporters() -> list[Exporter]:
    return [LitertExporter(), OnnxExporter(), OpenvinoExporter(), TorchExporter()]
