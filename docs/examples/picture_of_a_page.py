"""Train the MNIST network in PyTorch, make the report page of the run, and a picture of the page.

    python docs/examples/picture_of_a_page.py [--run run.npz]

It needs Chromium and Playwright. The pictures go to docs/how-to/.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import mnist
import mnist_networks

import secateur

HERE = Path(__file__).parent
POLICY = HERE / "policies" / "mnist-90.toml"
PICTURES = HERE.parent / "how-to"
BATCH, EPOCHS = 64, 3
SIZE = {"width": 1280, "height": 900}


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="a recording; without one, a network is trained")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or train(Path(folder) / "run.npz")
        page = Path(folder) / "report.html"
        secateur.Recording.load(run).to_html(page)
        for scheme in ("light", "dark"):
            take_picture(page, scheme, PICTURES / f"report-page-{scheme}.png")


def train(path: Path) -> Path:
    """Prune while training, and record it."""
    import torch

    digits, model = mnist.load(), mnist_networks.torch_network()
    images = torch.from_numpy(digits.train_x).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(digits.train_y)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    total = EPOCHS * -(-len(images) // BATCH)
    pruner = secateur.attach(
        model, POLICY, optimizer=optimizer, total_steps=total, observers=[secateur.Recorder(path)]
    )
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    pruner.detach()
    return path


def take_picture(page: Path, scheme: str, picture: Path) -> None:
    """Write a picture of a page as Chromium shows it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        opened = browser.new_page(viewport=SIZE, color_scheme=scheme)
        opened.goto(page.resolve().as_uri())
        opened.wait_for_selector("html[data-ready]")
        opened.select_option("#weight", label="conv2:kernel")
        opened.wait_for_function("() => state.textContent.startsWith('conv2')")
        opened.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
