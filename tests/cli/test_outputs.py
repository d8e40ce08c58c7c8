"""What a command writes harms nothing else, and is written whole or not at all."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.files import atomically, check_output, read_bounded, write_atomically

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


def refused(outcome, *words):
    assert outcome.code == 1
    assert outcome.out == ""
    [line] = outcome.err.splitlines()
    assert line.startswith("secateur: ")
    for word in words:
        assert word in line


def contents(folder: Path) -> dict[str, object]:
    """Return what each name in a folder is, and what its file holds."""
    return {
        path.name: (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
        for path in folder.iterdir()
    }


def listed(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def names(npz, half, tmp_path) -> Path:
    """Give the model and the policy other names, and the folder another path."""
    Path("link.npz").symlink_to("model.npz")
    os.link("model.npz", "hard.npz")
    Path("loop.npz").symlink_to("loop.npz")
    Path("folder").mkdir()
    Path("around").symlink_to(".")
    os.link("half.toml", "policy.npz")
    return tmp_path


SAME = ["model.npz", "./model.npz", "folder/../model.npz", "link.npz", "hard.npz",
        "around/model.npz"]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("output", SAME)
def test_the_input_is_no_output_by_whichever_name(run, tmp_path, output):
    before = contents(tmp_path)
    refused(run("prune", "model.npz", "half.toml", "-o", output), Path(output).name, "--in-place")
    refused(
        run("prune", "model.npz", "half.toml", "-o", "new.npz", "--masks", output),
        Path(output).name,
    )
    refused(run("prune", output, "half.toml", "-o", "new.npz", "--masks", "model.npz"))
    refused(run("export", "model.npz", "--to", "csv", "-o", output), Path(output).name)
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize(("output", "masks"), [
    ("a.npz", "a.npz"), ("a.npz", "./a.npz"), ("a.npz", "around/a.npz"), ("b.npz", "c.npz"),
    ("b.npz", "d.npz"), ("b.npz", "half.toml"), ("b.npz", "policy.npz"),
])  # fmt: skip
def test_outputs_are_neither_one_another_nor_the_policy(run, tmp_path, output, masks):
    Path("b.npz").write_bytes(b"old")
    Path("c.npz").symlink_to("b.npz")
    os.link("b.npz", "d.npz")
    before = contents(tmp_path)
    refused(
        run("prune", "model.npz", "half.toml", "-o", output, "--masks", masks), Path(masks).name
    )
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("npz")
def test_no_file_that_the_policy_extends_is_an_output(run, tmp_path):
    Path("base.toml").write_text('[schedule]\nkind = "one_shot"\nfinal_sparsity = 0.5\n')
    Path("middle.toml").write_text('extends = "base.toml"\n')
    Path("own.toml").write_text('extends = "middle.toml"\nname = "mine"\n')
    before = contents(tmp_path)
    for masks in ("base.toml", "middle.toml", "own.toml"):
        refused(run("prune", "model.npz", "own.toml", "-o", "new.npz", "--masks", masks), masks)
        assert contents(tmp_path) == before
    ready = secateur.Policy.load("cnn-80").files
    assert [path.name for path in ready] == ["cnn-80.toml"]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("words", [["--in-place"], *(["-o", name, "--in-place"] for name in SAME
                                                if name != "hard.npz")])  # fmt: skip
def test_in_place_replaces_the_checkpoint(run, words):
    before = np.load("model.npz")["fc.weight"]
    assert run("prune", "model.npz", "half.toml", *words).code == 0
    after = np.load("model.npz")["fc.weight"]
    assert np.count_nonzero(after) == before.size // 2
    assert Path("link.npz").is_symlink()


@pytest.mark.usefixtures("names")
def test_an_empty_argument_is_not_the_current_folder(run, tmp_path):
    from safetensors.numpy import save_file

    save_file({"fc.weight": np.ones((4, 4), np.float32)}, tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    outcome = run("prune", "", "half.toml", "--in-place")
    assert (outcome.code, outcome.out) == (2, "")
    assert "an argument is empty" in outcome.err
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_in_place_is_for_the_checkpoint_itself_and_no_excuse_for_other_outputs(run, tmp_path):
    before = contents(tmp_path)
    for other in ("x.npz", "hard.npz"):  # the second name of a file would keep the old content
        assert run("prune", "model.npz", "half.toml", "-o", other, "--in-place").code == 2
    assert run("prune", "model.npz", "half.toml").code == 2
    refused(run("prune", "model.npz", "half.toml", "--in-place", "--masks", "hard.npz"))
    assert contents(tmp_path) == before


@pytest.fixture
def special(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "device.npz").symlink_to("/dev/null")
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.npz")
        yield
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


SPECIAL = {"fifo.npz": "a FIFO", "folder.npz": "a folder", "device.npz": "a device",
           "socket.npz": "a socket", "/dev/null": "a device", "loop.npz": "link",
           "no/x.npz": "No such file", "half.toml/x.npz": "not a folder"}  # fmt: skip


@pytest.mark.usefixtures("special", "npz", "half")
@pytest.mark.parametrize("output", SPECIAL)
def test_only_files_are_replaced_and_folders_are_there(run, tmp_path, output):
    before = contents(tmp_path)
    commands = [
        ["prune", "model.npz", "half.toml", "-o", "new.npz", "--masks", output],
        ["export", "model.npz", "--to", "csv", "-o", output],
    ]
    if output.endswith(".npz"):
        commands.append(["prune", "model.npz", "half.toml", "-o", output])
    for words in commands:
        refused(run(*words), Path(output).name, SPECIAL[output])
    pruner = secateur.attach({"w": np.ones((2, 2))}, HALF)
    for write in (pruner.save, secateur.Policy.parse(HALF).dump, lambda p: export(p)):
        with pytest.raises((OSError, secateur.PolicyError)):
            write(output)
    assert contents(tmp_path) == before


def export(path):
    secateur.export({"w": np.ones((2, 2))}, path, to="csv")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("words", [
    ["prune", "NAME.npz", "half.toml", "-o", "x.npz"], ["inspect", "NAME.npz"],
    ["plan", "half.toml", "NAME.npz"], ["diff", "NAME.npz", "model.npz"],
    ["diff", "model.npz", "model.npz", "--map", "NAME.toml"],
    ["diff", "--model", "NAME.npz", "--model", "model.npz"], ["inspect", "NAME.safetensors"],
    ["inspect", "NAME.pt"], ["inspect", "NAME.keras"],
])  # fmt: skip
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "zeros", "socket", "loop", "empty"])
@pytest.mark.usefixtures("npz", "half")
def test_only_files_are_read(run, kind, words):
    words = [word.replace("NAME", kind) for word in words]
    [path] = [Path(word) for word in words if word.startswith(kind)]
    make = {
        "fifo": os.mkfifo,
        "folder": os.mkdir,
        "device": lambda path: path.symlink_to("/dev/null"),
        "zeros": lambda path: path.symlink_to("/dev/zero"),
        "loop": lambda path: path.symlink_to(path),
        "empty": Path.touch,
    }
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    else:
        make[kind](path)
    outcome = run(*words)
    if kind == "empty" and path.suffix == ".toml":
        assert outcome.code == 0  # no names at all
        return
    refused(outcome, path.name)


@pytest.mark.usefixtures("npz", "half")
def test_a_map_of_many_bytes_is_not_read(run, tmp_path):
    with (tmp_path / "map.toml").open("wb") as file:
        file.truncate(1 << 36)
    refused(run("diff", "model.npz", "model.npz", "--map", "map.toml"), "map.toml: larger than")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_a_replaced_file_keeps_its_mode_and_a_new_one_has_that_of_new_files(mode):
    Path("old").touch()
    Path("old").chmod(mode)
    with atomically(Path("old")) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == mode  # not open to more before
        file.write(b"x")
    assert stat.S_IMODE(Path("old").stat().st_mode) == mode
    Path("usual").touch()
    write_atomically(Path("new"), b"x")
    assert Path("new").stat().st_mode == Path("usual").stat().st_mode


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_the_umask_holds_and_is_never_changed(umask, monkeypatch):
    before = os.umask(umask)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", None)
            write_atomically(Path("new"), b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("new").stat().st_mode) == 0o666 & ~umask


def test_a_link_stays_and_what_it_leads_to_is_replaced():
    Path("folder").mkdir()
    Path("folder/file").write_bytes(b"old")
    Path("link").symlink_to("folder/file")
    Path("chain").symlink_to("link")
    Path("dangling").symlink_to("folder/new")
    for name in ("link", "chain", "dangling"):
        write_atomically(Path(name), name.encode())
        assert Path(name).is_symlink()
        assert Path(name).read_bytes() == name.encode()
    assert listed("folder") == ["file", "new"]


def test_the_longest_name_that_a_folder_takes_can_be_written():
    name = "x" * 255
    write_atomically(Path(name), b"x")
    assert listed() == [name]


@pytest.mark.parametrize("error", [
    OSError(errno.ENOSPC, "No space left on device"), ValueError("other"), KeyboardInterrupt(),
    SystemExit(143),
])  # fmt: skip
def test_what_fails_leaves_the_old_file_and_no_other(error):
    Path("old").write_bytes(b"old")

    def write() -> None:
        with atomically(Path("old")) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)) as raised:
        write()
    assert listed() == ["old"]
    assert Path("old").read_bytes() == b"old"
    if isinstance(error, OSError):
        assert raised.value.filename == "old"


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.usefixtures("npz", "half")
def test_a_full_disk_names_the_file_that_was_to_be_written(run, monkeypatch, call):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    places = {"write": (np.lib.format, "write_array_header_1_0"), "fsync": (os, "fsync"),
              "replace": (Path, "replace")}  # fmt: skip
    monkeypatch.setattr(*places[call], full)
    refused(run("prune", "model.npz", "half.toml", "-o", "new.npz"),
            "new.npz: No space left on device")  # fmt: skip
    assert listed() == ["half.toml", "model.npz"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_is_full_is_no_output():
    with pytest.raises(OSError, match="a device"):
        check_output(Path("/dev/full"))


def test_many_threads_may_write_one_file():
    def write(number):
        for _ in range(20):
            write_atomically(Path("shared"), b"%d" % number * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listed() == ["shared"]
    content = Path("shared").read_bytes()
    assert content in {b"%d" % number * 1000 for number in range(4)}


def test_a_bounded_read_returns_all_of_a_file_or_an_error():
    Path("file").write_bytes(b"12345")
    assert read_bounded(Path("file"), 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_bounded(Path("file"), 4)
