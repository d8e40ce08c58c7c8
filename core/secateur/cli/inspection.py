"""``secateur inspect``: how sparse the weights in a file are."""

from __future__ import annotations

import numpy as np

from secateur.cli.app import Json, Kind, Model, app
from secateur.cli.model_files import open_model
from secateur.cli.output import progress, show, show_json, table
from secateur.errors import ModelError
from secateur.tables import Column, format_sparsity

_COLUMNS = (
    Column("weight", long="shorten"),
    Column("kind", drop=2),
    Column("shape", drop=3),
    Column("dtype", drop=4),
    Column("size", right=True),
    Column("nonzero", right=True),
    Column("sparsity", right=True),
)


@app.command("inspect", epilog="Example: secateur inspect pruned.npz")
def inspect(
    model: Model,
    kind: Kind = None,
    json: Json = False,
) -> None:
    """Show how sparse each prunable weight of a model is."""
    binding = open_model(model, kind).binding
    rows = []
    with progress("counting", sum(weight.spec.size for weight in binding.weights)) as advance:
        for weight in binding.weights:
            spec, values = weight.spec, weight.read()
            rows.append((spec, int(np.count_nonzero(values))))
            advance(spec.size)
    size, nonzero = sum(spec.size for spec, _ in rows), sum(count for _, count in rows)
    if not size:
        raise ModelError(f"{model}: holds no weight that could be pruned")
    if json:
        weights = [
            {
                "name": spec.name,
                "kind": spec.kind,
                "shape": list(spec.shape),
                "dtype": spec.dtype,
                "size": spec.size,
                "nonzero": count,
                "sparsity": 1 - count / spec.size if spec.size else 0.0,
            }
            for spec, count in rows
        ]
        total = {"size": size, "nonzero": nonzero, "sparsity": 1 - nonzero / size}
        show_json({**total, "adapter": binding.adapter, "weights": weights})
        return
    table_rows: list[tuple[str | None, ...]] = [
        (
            spec.name,
            spec.kind,
            "x".join(map(str, spec.shape)),
            spec.dtype,
            f"{spec.size:,}",
            f"{count:,}",
            format_sparsity(1 - count / spec.size) if spec.size else None,
        )
        for spec, count in rows
    ]
    all_of_it = f"{size:,}", f"{nonzero:,}", format_sparsity(1 - nonzero / size)
    table_rows.append(("all", "", "", "", *all_of_it))
    show([table(_COLUMNS, table_rows, total=True)])
