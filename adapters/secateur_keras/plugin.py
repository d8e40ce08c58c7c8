"""Registers the adapter.  Light: Keras is looked up in `sys.modules`, never imported here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from secateur import hookimpl
from secateur.adapter import Adapter
from secateur.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from secateur.adapter import Checkpoint
    from secateur_keras.binding import KerasBinding

OLDEST = (3, 5)
_HDF5 = (".h5", ".hdf5")
"""A file of weights, or a whole model in the old format, which is told to be one."""


class KerasAdapter(Adapter):
    """Binds the models and layers of Keras 3, on any backend."""

    name = "keras"

    def matches(self, model: object) -> bool:
        """Return whether this is a layer or model of Keras 3.5 or newer."""
        return _version("keras") >= OLDEST and _is_layer_of("keras", model)

    def hint(self, model: object) -> str | None:
        """Return what to install, for a model of an older Keras or of tf_keras."""
        for package in ("keras", "tf_keras"):
            if _is_layer_of(package, model):
                version = sys.modules[package].__version__
                return (
                    f"It is a model of {package} {version}, and secateur needs Keras 3.5 or "
                    'newer: pip install "secateur[keras]", and build the model with `keras`.'
                )
        return None

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".keras", *_HDF5)

    def read_file(self, path: Path) -> Any:
        """Return the model in a .keras file, without running its code; or a .weights.h5 file.

        Raises:
            ModelError: Keras, or h5py, is missing, or cannot load the file.

        """
        return _weights_file(path) if path.suffix in _HDF5 else _load(path)

    def checkpoint(self, path: Path) -> Checkpoint:
        """Return the model in a .keras file as a checkpoint; or a .weights.h5 file.

        Raises:
            ModelError: As `read_file`.

        """
        if path.suffix in _HDF5:
            return _weights_file(path)
        model = _load(path)
        from secateur_keras.stored.keras_file import KerasFile

        return KerasFile(path, model)

    def file_notes(self, path: Path) -> list[str]:
        """Return what a .keras file holds of the optimizer, which no one needs who predicts."""
        from secateur_keras.archive import optimizer_bytes

        if path.suffix in _HDF5:
            return []

        size, whole = optimizer_bytes(path), path.stat().st_size
        if not size:
            return []
        advice = "keras.models.load_model(path, compile=False).save(path) leaves them out"
        return [f"{size:,} of its {whole:,} bytes are the optimizer's moments, dense; {advice}"]

    def bind(self, model: Any) -> KerasBinding:
        """Find the prunable weights of a model, and change nothing in it.

        Raises:
            ModelError: The model is not built.

        """
        from secateur_keras.binding import KerasBinding

        return KerasBinding(model)


def _version(package: str) -> tuple[int, ...]:
    version = getattr(sys.modules.get(package), "__version__", "0.0")
    return tuple(int(part) for part in version.split(".")[:2])


def _is_layer_of(package: str, model: object) -> bool:
    layers = getattr(sys.modules.get(package), "layers", None)
    base = getattr(layers, "Layer", None)
    return base is not None and isinstance(model, base)


def _load(path: Path) -> Any:
    """Return the model in a .keras file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras

        from secateur_keras.stored.keras_file import check_archive
    except ModuleNotFoundError as error:
        raise _missing(path, "Keras and a backend", "tensorflow", error) from error
    check_archive(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras has no error class of its own
        cause = str(error).rpartition("Exception encountered: ")[2].partition("Full object")[0]
        why = " ".join(cause.split())[:300]
        raise ModelError(f"{path}: Keras cannot load it: {why}") from error


def _weights_file(path: Path) -> Checkpoint:
    """Return what a .weights.h5 file holds; Keras itself is not imported."""
    try:
        from secateur_keras.stored.weights_file import WeightsFile

        return WeightsFile(path)
    except ModuleNotFoundError as error:
        raise _missing(path, "h5py", "keras", error) from error


def _missing(path: Path, what: str, extra: str, error: Exception) -> ModelError:
    return ModelError(f'{path}: reading it needs {what}: pip install "secateur[{extra}]" ({error})')


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [KerasAdapter()]
