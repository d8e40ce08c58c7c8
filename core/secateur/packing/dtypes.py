"""The names of dtypes in a packed file, NumPy's own and those of ml-dtypes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from secateur.errors import ModelError, shown
from secateur.layout import Array

_NUMPY = re.compile(
    r"[<>|]?(b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[SUV]\d{1,6}|[mM]8(\[\d{0,4}\w{1,2}\])?)"
)
_PLAIN = {
    *("bool", "float16", "float32", "float64", "complex64", "complex128"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_MORE = re.compile(r"bfloat16|float8_\w{1,20}|float[46]_\w{1,20}|u?int[24]")


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return the name under which a packed file notes a dtype.

    >>> dtype_name(np.dtype("float32")), dtype_name(np.dtype(">f4"))
    ('float32', '>f4')

    Raises:
        ModelError: Its values are no plain bytes, as those of objects and records.

    """
    for name in (dtype.name, dtype.str):
        try:
            if dtype_named(name) == dtype:
                return name
        except ModelError:
            continue
    raise ModelError(f"dtype {shown(str(dtype))} cannot be packed: its values are no plain bytes")


def dtype_named(name: str) -> np.dtype[Any]:
    """Return the dtype of a name that `dtype_name` gave.

    Raises:
        ModelError: There is no such dtype, or it needs ml-dtypes, which is missing.

    """
    try:
        if _MORE.fullmatch(name):
            import ml_dtypes

            found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        elif name in _PLAIN or _NUMPY.fullmatch(name):
            found = np.dtype(name)
        else:
            found = np.dtype("V0")
        if found.itemsize:
            return found
    except ModuleNotFoundError:
        raise ModelError(f"dtype {name} needs ml-dtypes: pip install ml-dtypes") from None
    except (TypeError, ValueError, AttributeError):
        pass  # refused below
    raise ModelError(f"{shown(name)} is no dtype that can be packed")


def as_bytes(values: Array) -> Array:
    """Return the bytes of some values, of shape (values, bytes of each).

    >>> as_bytes(np.array([1, 256], "<u2")).tolist()
    [[1, 0], [0, 1]]
    """
    flat = np.ascontiguousarray(values).reshape(-1)
    found: Array = flat.view(np.uint8).reshape(flat.size, flat.dtype.itemsize)
    return found
