"""Write the pages of the ready policies, from their files and from the runs of `make results`.

Run it after a change to one of them; `make results` writes them, too, and a test compares:

    python docs/examples/ready_policies.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import secateur

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "results"))

from page_tables import table
from pages import rows_of
from records import Line, read
from tasks import ready

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
FOLDER = files("secateur") / "policy" / "ready"
HEAD = """# Ready policies

Policies that ship with the library.  A name works wherever a policy is taken;
`secateur policies NAME > mine.toml` makes a copy to edit, and `extends = "NAME"` changes a part
of it.  [Choose a policy](../how-to/choose-a-policy.md) says which is for what.
"""
FOOT = """
Accuracy is the mean over three seeds in PyTorch, in percent, with the standard deviation; "to
dense" is the difference to a dense network that was trained for as long.  The page of a policy has
the interval of the difference, the sizes, and the runs in Keras where there are some;
[Results](../results/ready.md) has all of them.

Written by `docs/examples/ready_policies.py` from the files of the package and the recorded runs.
"""
_HOW = {
    False: "pruned while it is trained from its initial weights, beside as long a dense training.",
    True: "trained dense, pruned at once, and trained once more, beside one trained twice.",
}
"""How a network was pruned, by whether it was trained before."""
PAGE = """# {name}

{about}

{sources}

## What it costs

{costs}

## The file

Fingerprint `{fingerprint}`.  [{name}.toml]({file}) is a part of the package;
`secateur policies {name} > mine.toml` makes a copy to edit.

```toml
{toml}
```

Written by `docs/examples/ready_policies.py`.
"""


class Policy(NamedTuple):
    """A ready policy: its name, what its comment says, its sources, and the rest of its file."""

    name: str
    about: str
    sources: str
    toml: str


def pages(lines: Sequence[Line]) -> dict[Path, str]:
    """Return the text of every page from the files of the package and the lines of the runs."""
    names = sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".toml"))
    policies = [_policy(name.removesuffix(".toml")) for name in names]
    lines = [line for line in lines if not line["quick"]]
    found = {REFERENCE / "ready" / f"{policy.name}.md": _page(policy, lines) for policy in policies}
    return {REFERENCE / "ready-policies.md": _overview(policies, lines), **found}


def _policy(name: str) -> Policy:
    lines = (FOLDER / f"{name}.toml").read_text("utf-8").splitlines()
    comment = list(takewhile(lambda line: line.startswith("#"), lines))
    words = " ".join(line.removeprefix("#") for line in comment).split()
    about, word, sources = " ".join(words).partition(" Source")
    linked = re.sub(r"arXiv (\d+\.\d+)", r"[arXiv \1](https://arxiv.org/abs/\1)", word + sources)
    return Policy(name, about, linked.strip(), "\n".join(lines[len(comment) :]))


def _overview(policies: Sequence[Policy], lines: Sequence[Line]) -> str:
    rows = []
    for policy in policies:
        purpose = policy.about.split(". ")[0].rstrip(".")
        rows.append(
            (f"[`{policy.name}`](ready/{policy.name}.md)", purpose, *_in_short(policy, lines))
        )
    return f"{HEAD}\n{table(('policy', 'what it does', 'accuracy', 'to dense'), rows, 2)}\n{FOOT}"


def _in_short(policy: Policy, lines: Sequence[Line]) -> tuple[str, str]:
    shown = ready.SHOWN.get(policy.name)
    if shown is None:
        return "no run", ""
    in_torch = [line for line in lines if line["framework"] == "torch"]
    for _, _, mean, deviation, _, difference, *_ in rows_of(in_torch, [policy.name], shown.base):
        return f"{mean} ± {deviation} on {shown.network}", str(difference)
    return "no run yet", ""


def _page(policy: Policy, lines: Sequence[Line]) -> str:
    return PAGE.format(
        **policy._asdict(),
        costs=_costs(policy.name, lines),
        fingerprint=secateur.Policy.load(policy.name).fingerprint[:12],
        file=f"../../../core/secateur/policy/ready/{policy.name}.toml",
    )


def _costs(name: str, lines: Sequence[Line]) -> str:
    """Return what is known of the accuracy and the sizes."""
    if name in ready.UNSHOWN:
        return f"No run: {ready.UNSHOWN[name]}."
    own = [line for line in lines if line["row"] == name]
    if not own:
        return "No run yet: `make results TASK=ready`."
    shown = ready.SHOWN[name]
    network, _ = ready.NETWORKS[shown.network]
    size, packed = own[0]["bytes"], own[0]["packed bytes"]
    return f"""[{network.title}](../../results/{network.name}.md): {_HOW[shown.fine_tuned]}
The policy is as it ships, with `total_steps=`. Accuracy in percent, deviation over seeds.

{ready.figures(lines, name)}

The saved file takes {size / 1000:,.0f} kB with zeros or without, as a zero is as long as any other
number, and {packed / 1000:,.0f} kB once it went through `secateur pack`. All runs, and what they
were made with: [Results](../../results/ready.md)."""


if __name__ == "__main__":
    for path, text in pages(read(ready.NAME)).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
