"""Where data comes from: the mirror, then a hub that really answers (on this machine), verified whatever happens."""

import hashlib
import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datamodules.core.sources import hub_file, hub_listing, mirrored

COMMIT, LATER_COMMIT = "1" * 40, "2" * 40


class Hub(http.server.ThreadingHTTPServer):
    """As much of the Hugging Face hub as a download needs. `files` maps a path to content and etag."""

    def __init__(self, port: int = 0) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.commit, self.status = COMMIT, 200
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", port), _Answer)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        """From here on connections are refused."""
        if self._thread.is_alive():
            self.shutdown()
            self._thread.join()
            self.server_close()

    def publish(self, repo: str, content: bytes, etag: str | None = None, filename: str = "data.bin") -> None:
        self.files[f"/datasets/{repo}/resolve/main/{filename}"] = content, etag or sha256(content)

    def publish_listing(self, repo: str, names: list[str], revision: str = "main") -> None:
        tree = [{"type": "directory", "path": "data", "oid": COMMIT, "size": 0}]
        tree += [{"type": "file", "path": name, "oid": COMMIT, "size": 1} for name in names]
        info = {"id": repo, "sha": COMMIT, "private": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
        for kind, answer in {"revision": info, "tree": tree}.items():
            self.files[f"/api/datasets/{repo}/{kind}/{revision}"] = json.dumps(answer).encode(), COMMIT


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def log_message(self, format: str, *args: object) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def _answer(self, with_content: bool) -> None:
        content, etag = self.server.files.get(self.path.split("?")[0], (b"", ""))
        self.send_response(self.server.status if etag else 404)
        self.send_header("X-Repo-Commit", self.server.commit)
        if etag:
            self.send_header("ETag", '"of-the-pointer"')  # what a large file's own answer carries beside the linked one
            self.send_header("X-Linked-Etag", f'"{etag}"')
            self.send_header("X-Linked-Size", str(len(content)))
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Ours without any data: no mirror, no hub settings, fresh caches under `home`."""
    kept = {name: value for name, value in os.environ.items() if name != "ZOO_DATA" and not name.startswith("HF_")}
    return {**kept, "HF_HOME": str(home / "hf"), "ZOO_CACHE": str(home / "zoo"), "NO_PROXY": "127.0.0.1", **extra}


class Client:
    """Another process that calls `hub_file` or `hub_listing`: the hub's own client reads its settings once, on import."""

    CODE = """
import json, os, sys, time, warnings
from datamodules.core.sources import hub_file, hub_listing
own = os.environ["ZOO_CACHE"]
for line in sys.stdin:
    arguments = json.loads(line)
    os.environ["ZOO_CACHE"] = arguments.pop("cache", own)
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            answer = {"path": str(hub_file(**arguments))} if "filename" in arguments else {"names": hub_listing(**arguments)}
        except (FileNotFoundError, ValueError) as error:
            answer = {"error": type(error).__name__, "message": str(error)}
    warned = [str(warning.message) for warning in caught]
    print(json.dumps({**answer, "warned": warned, "seconds": time.perf_counter() - start}), flush=True)
"""

    def __init__(self, home: Path, **extra: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(home, **extra),
        )

    def ask(self, repo: str, filename: str = "data.bin", **arguments: str) -> dict[str, Any]:
        return self._call({"repo": repo, "filename": filename, **arguments})

    def ask_for_names(self, repo: str, **arguments: str) -> dict[str, Any]:
        return self._call({"repo": repo, **arguments})

    def _call(self, arguments: dict[str, str]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def recorded(self) -> dict[str, str]:
        path = self.home / "zoo" / "checksums.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def hub_cache(self, repo: str) -> Path:
        return self.home / "hf" / "hub" / f"datasets--{repo.replace('/', '--')}"

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def port() -> int:
    """A free port, the same for every hub of this file: the client's process keeps its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def hub(port: int) -> Iterator[Hub]:
    server = Hub(port)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Shared by the tests of this file; each asks for a repository of its own."""
    client = Client(tmp_path_factory.mktemp("client"), HF_ENDPOINT=f"http://127.0.0.1:{port}")
    yield client
    client.close()


def test_the_mirror_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "owner" / "name" / "part" / "file.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mirrored")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert mirrored("owner/name", "part/file.bin") == hub_file("owner/name", "part/file.bin") == path
    assert mirrored("owner/name", "part") is None  # a folder is no file
    assert mirrored("owner/name", "other.bin") is None
    monkeypatch.delenv("ZOO_DATA")
    assert mirrored("owner/name", "part/file.bin") is None


def test_the_mirrors_files_are_listed_by_their_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.bin", "part/a.bin", "part/deep/c.bin"):
        (tmp_path / "owner" / "name" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "owner" / "name" / name).touch()
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert hub_listing("owner/name") == ["b.bin", "part/a.bin", "part/deep/c.bin"]
    assert all(hub_file("owner/name", name).is_file() for name in hub_listing("owner/name"))


def test_the_hubs_files_are_listed(hub: Hub, client: Client) -> None:
    hub.publish_listing("owner/listed", ["README.md", "data/train.parquet"])
    hub.publish_listing("owner/listed", ["default/train/0000.parquet"], revision="refs%2Fconvert%2Fparquet")
    assert client.ask_for_names("owner/listed")["names"] == ["README.md", "data/train.parquet"]
    assert client.ask_for_names("owner/listed", revision="refs/convert/parquet")["names"] == ["default/train/0000.parquet"]


@pytest.mark.parametrize("trouble", ["absent", "no name", "status", "no network"])
def test_a_listing_that_cannot_be_had_names_the_way_out(hub: Hub, client: Client, trouble: str) -> None:
    repo = "no/name/of a set" if trouble == "no name" else f"owner/unlisted-{trouble.replace(' ', '-')}"
    if trouble != "absent":
        hub.publish_listing(repo, ["train.parquet"])
    if trouble == "status":
        hub.status = 503
    if trouble == "no network":
        hub.stop()
    answer = client.ask_for_names(repo)
    assert answer["error"] == "MissingFileError"
    assert answer["message"].startswith(
        f"no data set {repo}: no such folder under ZOO_DATA (not set), and the hub did not list it"
    )
    assert answer["message"].endswith(f"Without a network set ZOO_DATA to a folder that holds {repo}")
    assert answer["seconds"] < 15


def assert_names_the_way_out(answer: dict[str, Any]) -> None:
    assert answer["error"] == "MissingFileError"
    assert "ylecun/mnist/mnist/train.parquet is not on this machine: no such file under ZOO_DATA (not set)" in answer["message"]
    assert answer["message"].endswith(
        "without one run `apt-get install it` or set ZOO_DATA to a folder that holds ylecun/mnist/mnist/train.parquet"
    )
    assert answer["seconds"] < 15


def test_without_a_hub_it_names_the_way_out(client: Client) -> None:
    assert_names_the_way_out(client.ask("ylecun/mnist", "mnist/train.parquet", otherwise="run `apt-get install it` or "))
    assert "without one set ZOO_DATA" in client.ask("ylecun/mnist", "mnist/train.parquet")["message"]
    assert not [key for key in client.recorded() if "mnist" in key]


def test_offline_on_purpose_it_names_the_way_out(tmp_path: Path) -> None:
    client = Client(tmp_path, HF_HUB_OFFLINE="1")
    answer = client.ask("ylecun/mnist", "mnist/train.parquet", otherwise="run `apt-get install it` or ")
    client.close()
    assert_names_the_way_out(answer)


def test_a_file_the_hub_does_not_have(hub: Hub, client: Client) -> None:
    answer = client.ask("owner/absent")
    assert answer["error"] == "MissingFileError"
    assert "RemoteEntryNotFoundError" in answer["message"]


@pytest.mark.parametrize("status", [401, 503])
def test_a_hub_in_trouble_is_reported_at_once(hub: Hub, client: Client, status: int) -> None:
    hub.publish("owner/trouble", b"content")
    hub.status = status
    answer = client.ask("owner/trouble")
    assert answer["error"] == "MissingFileError"
    assert answer["seconds"] < 15


def test_what_is_downloaded_is_verified_and_recorded(hub: Hub, client: Client) -> None:
    hub.publish("owner/large", b"content")
    answer = client.ask("owner/large")
    assert Path(answer["path"]).read_bytes() == b"content"
    assert client.recorded()["owner/large/data.bin@main"] == sha256(b"content")
    assert any(line.startswith("GET") for line in hub.asked)
    hub.asked.clear()
    hub.stop()
    assert client.ask("owner/large")["path"] == answer["path"]
    assert hub.asked == []


def test_a_download_other_than_the_hub_states_is_refused(hub: Hub, client: Client) -> None:
    hub.publish("owner/forged", b"content", etag=sha256(b"something else"))
    for _ in range(2):
        answer = client.ask("owner/forged")
        assert answer["error"] == "ZooError"
        assert f"has SHA-256 {sha256(b'content')}, expected {sha256(b'something else')}: delete it" in answer["message"]
        hub.stop()  # no network is no excuse
    assert "owner/forged/data.bin@main" not in client.recorded()


@pytest.mark.parametrize("etag", [None, "a" * 40], ids=["large", "small"])  # a small file's etag is git's, no SHA-256
def test_a_file_that_changes_is_refused_until_deleted(hub: Hub, client: Client, etag: str | None) -> None:
    repo = f"owner/changing-{etag is None}"
    hub.publish(repo, b"content", etag)
    path = Path(client.ask(repo)["path"])
    path.resolve().write_bytes(b"changed")
    answer = client.ask(repo)
    assert answer["error"] == "ZooError"
    named = Path(answer["message"].split(" has SHA-256 ")[0])
    named.unlink()  # as the message says
    assert Path(client.ask(repo)["path"]).read_bytes() == b"content"


def test_a_blob_that_is_itself_a_link_is_verified_by_its_etag(hub: Hub, client: Client) -> None:
    """Since 2.x the hub's client moves what came through Xet to a store shared by all repositories, named by another hash."""
    hub.publish("owner/shared", b"shared content")
    blob = Path(client.ask("owner/shared")["path"]).resolve()
    stored = client.home / "hf" / "hub" / "blobs" / "ab" / ("ab" * 32)
    stored.parent.mkdir(parents=True)
    blob.rename(stored)
    blob.symlink_to(os.path.relpath(stored, blob.parent))
    forget(client, "owner/shared")
    assert Path(client.ask("owner/shared")["path"]).read_bytes() == b"shared content"
    stored.write_bytes(b"tampered")
    forget(client, "owner/shared")
    assert f"expected {sha256(b'shared content')}" in client.ask("owner/shared")["message"]


def test_new_content_under_the_same_revision_needs_consent(hub: Hub, client: Client) -> None:
    hub.publish("owner/moving", b"first")
    client.ask("owner/moving")
    shutil.rmtree(client.hub_cache("owner/moving"))
    hub.publish("owner/moving", b"second")
    hub.commit = LATER_COMMIT
    answer = client.ask("owner/moving")
    assert answer["error"] == "ZooError"
    assert f"also delete its line in {client.home / 'zoo' / 'checksums.json'}" in answer["message"]
    forget(client, "owner/moving")
    assert Path(client.ask("owner/moving")["path"]).read_bytes() == b"second"


def test_goes_on_where_checksums_cannot_be_recorded(hub: Hub, client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    hub.publish("owner/unrecorded", b"content")
    answer = client.ask("owner/unrecorded", cache=str(tmp_path / "file" / "below"))
    assert Path(answer["path"]).read_bytes() == b"content"
    assert "Set ZOO_CACHE to a writable folder" in answer["warned"][0]
    hub.publish("owner/unrecorded-forged", b"content", etag=sha256(b"something else"))
    assert client.ask("owner/unrecorded-forged", cache=str(tmp_path / "file" / "below"))["error"] == "ZooError"


def test_a_damaged_record_is_named(hub: Hub, client: Client) -> None:
    hub.publish("owner/any", b"content")
    client.ask("owner/any")
    record = client.home / "zoo" / "checksums.json"
    kept = record.read_text()
    record.write_text(kept[:-1])
    answer = client.ask("owner/any")
    record.write_text(kept)
    assert answer["error"] == "ZooError"
    assert f"damaged {record}" in answer["message"]
    assert "delete it" in answer["message"]


def forget(client: Client, repo: str) -> None:
    recorded = client.recorded()
    del recorded[f"{repo}/data.bin@main"]
    (client.home / "zoo" / "checksums.json").write_text(json.dumps(recorded))


def digits_parquet(num: int, offset: int) -> bytes:
    """`num` grey 28x28 images with labels 0 to 9 in turn; image i is filled with i + offset."""
    cells = []
    for i in range(num):
        file = io.BytesIO()
        Image.fromarray(np.full((28, 28), i + offset, dtype=np.uint8)).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    table, file = pa.table({"image": cells, "label": [i % 10 for i in range(num)]}), io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()


def test_a_whole_data_set_from_the_hub_and_then_without_it(hub: Hub, tmp_path: Path) -> None:
    parts = {"train": digits_parquet(40, offset=0), "test": digits_parquet(20, offset=100)}
    for part, content in parts.items():
        hub.publish("ylecun/mnist", content, filename=f"mnist/{part}-00000-of-00001.parquet")
    code = """
import json
from datamodules import MNIST
for _ in range(2):
    data = MNIST(batch_size=8)
    data.setup()
    splits = {name: [arrays.x[rows, 0, 0, 0].tolist(), arrays.y[rows].tolist()] for name, (arrays, rows) in data.splits.items()}
    print(json.dumps(splits), flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    fresh = json.loads(process.stdout.readline())
    hub.stop()
    process.stdin.write("\n")
    process.stdin.flush()
    without = json.loads(process.stdout.readline())
    process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert fresh == without
    assert [len(fresh[name][0]) for name in ("train", "val", "test")] == [36, 4, 20]
    assert sorted(fresh["train"][0] + fresh["val"][0]) == list(range(40))
    assert all(y == x % 10 for name in ("train", "val") for x, y in zip(*fresh[name], strict=True))
    assert fresh["test"] == [list(range(100, 120)), [*range(10), *range(10)]]
    assert json.loads((tmp_path / "zoo" / "checksums.json").read_text()) == {
        f"ylecun/mnist/mnist/{part}-00000-of-00001.parquet@main": sha256(content) for part, content in parts.items()
    }


def test_any_set_of_pictures_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    parts = {"train": digits_parquet(20, offset=0), "validation": digits_parquet(10, offset=100)}
    names = {part: f"data/{part}-00000-of-00001.parquet" for part in parts}
    hub.publish_listing("someone/digits", ["README.md", *names.values()])
    for part, content in parts.items():
        hub.publish("someone/digits", content, filename=names[part])
    code = """
import json
from datamodules import HubImages
data = HubImages("someone/digits", size=28, rgb=False, crop=1.0, num_workers=0, batch_size=4)
data.setup()
test = [[batch.x[:, 0, 0, 0].tolist(), batch.y.tolist()] for batch in data.test_dataloader()]
print(json.dumps([list(data.class_names), {name: len(split.rows) for name, split in data.splits.items()}, test]))
"""
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}"),
    )
    assert answer.returncode == 0, answer.stderr
    class_names, sizes, test = json.loads(answer.stdout)
    assert class_names == list("0123456789")
    assert sizes == {"train": 18, "val": 2, "test": 10}
    assert test == [[list(range(100 + i, min(104 + i, 110))), list(range(i, min(4 + i, 10)))] for i in (0, 4, 8)]
    recorded = json.loads((tmp_path / "zoo" / "checksums.json").read_text())
    assert recorded == {f"someone/digits/{names[part]}@main": sha256(content) for part, content in parts.items()}


def test_processes_that_start_together_fetch_once(hub: Hub, tmp_path: Path) -> None:
    """As under torchrun, where every process builds its datamodule before the trainer could tell who fetches."""
    content = digits_parquet(20, offset=0)
    hub.publish_listing("someone/digits", ["train.parquet"])
    hub.publish("someone/digits", content, filename="train.parquet")
    code = """
from datamodules import HubImages
data = HubImages("someone/digits", size=28, rgb=False)
data.prepare_data()
print(*data.class_names)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    processes = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}", LOCAL_RANK=str(rank)),
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers == ["0 1 2 3 4 5 6 7 8 9\n"] * 2
    assert gets(hub) == ["GET /datasets/someone/digits/resolve/main/train.parquet"]


def test_a_constructor_fetches_no_more_than_the_classes_need(hub: Hub, tmp_path: Path) -> None:
    """The first training file alone where its schema names the classes; the rest comes with `prepare_data`."""
    names = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"]
    hub.publish_listing("someone/named", names)
    hub.publish_listing("someone/unnamed", names)
    for place, name in enumerate(names):  # contents differ: what the client has under any name, it does not fetch again
        hub.publish("someone/named", named(digits_parquet(20, offset=10 * place)), filename=name)
        hub.publish("someone/unnamed", digits_parquet(20, offset=100 + 10 * place), filename=name)
    code = """
import sys
from datamodules import HubImages
for repo in sys.argv[1:]:
    data = HubImages(repo, size=28, rgb=False, num_workers=0)
    print(*data.class_names, flush=True)
    input()
    data.prepare_data()
    print("fetched", flush=True)
    input()
    data.setup()
    print(len(data.files), flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, "someone/named", "someone/unnamed"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(tmp_path, HF_ENDPOINT=f"http://127.0.0.1:{hub.server_port}"),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    expected = [("zero one two three four five six seven eight nine", names[:1]), ("0 1 2 3 4 5 6 7 8 9", names[:2])]
    answers = [[class_names, "fetched", "60"] for class_names, _ in expected]
    fetched = [[first, names, names] for _, first in expected]
    found_answers, found_files = [], []
    for _ in expected:
        hub.asked.clear()
        steps = []
        for _ in range(3):
            line = process.stdout.readline().strip()
            steps.append((line, sorted((get.rpartition("/main/")[2] for get in gets(hub)), key=names.index)))
            if line:
                process.stdin.write("\n")
                process.stdin.flush()
        found_answers.append([line for line, _ in steps])
        found_files.append([files for _, files in steps])
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert found_answers == answers
    assert found_files == fetched


def gets(hub: Hub) -> list[str]:
    """The downloads that were asked for so far."""
    return [line for line in hub.asked if line.startswith("GET") and "/resolve/" in line]


def named(parquet: bytes) -> bytes:
    """With words for the classes in the schema."""
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": names}}
    table, file = pq.read_table(io.BytesIO(parquet)), io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), file)
    return file.getvalue()
