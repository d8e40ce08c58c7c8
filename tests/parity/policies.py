"""Random policies for twins, and a form in which a counter-example can be replayed."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.parity import steps
from tests.parity.twins import TWINS, Twin

sparsities = st.one_of(
    st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 1.0]),
    st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 4)),
)
schedules = st.one_of(
    st.fixed_dictionaries({"kind": st.just("one_shot"), "final_sparsity": sparsities}),
    st.fixed_dictionaries({"kind": st.just("constant"), "final_sparsity": sparsities}),
    st.just({"kind": "keep_zeros"}),
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["polynomial", "linear", "cosine"]),
            "final_sparsity": sparsities,
            "end_step": st.integers(0, 50),
        }
    ),
)
criteria = st.sampled_from(["magnitude", {"kind": "random", "seed": 3}])
patterns = st.one_of(
    st.just("unstructured"),
    st.fixed_dictionaries(
        {
            "kind": st.just("block"),
            "out": st.integers(1, 5),
            "in": st.integers(1, 5),
            "pooling": st.sampled_from(["avg", "max", "min", "l1", "l2"]),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("channel"), "axis": st.sampled_from(["out", "in"])},
        optional={"pooling": st.sampled_from(["l1", "max", "min"])},
    ),
)
distributions = st.sampled_from(
    [
        "uniform",
        "erk",
        "global",
        "lamp",
        {"kind": "threshold", "value": 0.05},
        {"kind": "threshold", "deviations": 0.7},
    ]
)


def makes_sense(method: dict[str, Any]) -> bool:
    """Return whether a threshold fits the criterion and the pattern that it was drawn with."""
    if "deviations" not in method["distribution"]:
        return True
    pattern = method["pattern"]
    adds_up = pattern != "unstructured" and pattern.get("pooling", "l2") in ("l1", "l2")
    return method["criterion"] == "magnitude" and not adds_up


methods = st.fixed_dictionaries(
    {
        "schedule": schedules,
        "criterion": criteria,
        "pattern": patterns,
        "distribution": distributions,
    }
).filter(makes_sense)


@st.composite
def n_m_methods(draw: st.DrawFn) -> dict[str, Any]:
    of = draw(st.integers(2, 6))
    keep = draw(st.integers(1, of - 1))
    schedule = {"kind": "one_shot", "final_sparsity": 1 - keep / of}
    return {
        "schedule": schedule,
        "criterion": draw(criteria),
        "pattern": {"kind": "n_m", "keep": keep, "of": of},
    }


@st.composite
def matches(draw: st.DrawFn, twin: Twin) -> dict[str, Any]:
    names = [layer.name for layer in twin.layers]
    choices: dict[str, st.SearchStrategy[Any]] = {
        "kind": st.lists(
            st.sampled_from(sorted({layer.kind for layer in twin.layers})), min_size=1
        ),
        "name": st.sampled_from([*names, "*1*", "conv*", "*"]),
        "min_size": st.integers(0, 2000),
    }
    # The reference knows the two directions of a layer as two layers; and where frameworks have
    # another order, another layer is the first.
    directed = any(isinstance(layer, steps.Recurrent) for layer in twin.layers)
    if not directed and not twin.registered:
        choices["position"] = st.lists(st.sampled_from(["first", "last"]), min_size=1)
    return draw(st.fixed_dictionaries({}, optional=choices))


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a twin's name, a seed and a number of levels for its weights, and a policy."""
    name = draw(st.sampled_from(sorted(TWINS)))
    rule = st.one_of(methods, n_m_methods()).flatmap(
        lambda method: st.fixed_dictionaries(
            {"match": matches(TWINS[name]), "required": st.just(False)}
        ).map(lambda rule: rule | method)
    )
    dense = st.fixed_dictionaries(
        {
            "match": matches(TWINS[name]),
            "required": st.just(False),
            "prune": st.just(False),
        }
    )
    rules = draw(st.lists(st.one_of(rule, dense), max_size=2))
    everything_else = {"match": {}, "required": False, **draw(st.one_of(methods, n_m_methods()))}
    return {
        "twin": name,
        "seed": draw(st.integers(0, 2**32 - 1)),
        "levels": draw(st.sampled_from([0, 1, 2, 4, 16])),
        "policy": {"rules": [*rules, everything_else]},
    }
