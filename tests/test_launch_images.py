"""launch/: the container image and the manifests for Kubernetes, as far as they can be judged without either."""

import fnmatch
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml

from uwe_jax.runtime.command import EXIT_AGAIN, EXIT_INTERRUPTED, EXIT_USER_ERROR

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "launch" / "docker" / "Dockerfile"

# ---- The container --------------------------------------------------------------------------------------------------


def in_context(path: Path) -> bool:
    """Whether a file of the project reaches the building of an image: the last pattern that fits it or a parent."""
    parts = path.relative_to(ROOT).parts
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    included = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        candidates = parts if pattern.startswith("**/") else prefixes
        if any(fnmatch.fnmatchcase(one, pattern.removeprefix("**/")) for one in candidates):
            included = line.startswith("!")
    return included


def copied() -> list[str]:
    """What the Dockerfile copies from the project."""
    lines = re.findall(r"^COPY (.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()]


def test_image_gets_what_it_copies():
    assert copied()
    for source in copied():
        files = [p for p in (ROOT / source).rglob("*") if p.is_file()] if (ROOT / source).is_dir() else [ROOT / source]
        wanted = [path for path in files if path.suffix != ".pyc"]
        assert wanted
        assert all(map(in_context, wanted)), f"{source} is ignored"


def test_image_gets_what_the_package_is_built_of():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"pyproject.toml", "uwe_jax", project["readme"], *project["license-files"]} <= set(copied())


def test_image_gets_nothing_else():
    others = [
        "tests/conftest.py",
        ".git/config",
        "runs/mine/summary.json",
        "launch/local.sh",
        "docs/gpu.md",
        "key.json",
    ]
    assert not any(in_context(ROOT / other) for other in [*others, "uwe_jax/data/__pycache__/graph.cpython-311.pyc"])


def test_image_is_pinned_and_python_gets_its_signals():
    text = DOCKERFILE.read_text()
    assert re.search(r"^FROM python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert '\nENTRYPOINT ["python", "-m", "uwe_jax.train"]\n' in text
    assert "\nARG RUN_AS=1000:1000\n" in text
    assert text.index("\nUSER ${RUN_AS}\n") < text.index("\nENTRYPOINT")


def test_image_installs_the_dependencies_of_the_project():
    dependencies = runpy.run_path(str(ROOT / "launch" / "docker" / "dependencies.py"))["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert dependencies(ROOT / "pyproject.toml") == project["dependencies"]
    extras = project["optional-dependencies"]
    tpu = [each for each in extras["tpu"] if each != "uwe_jax[gcs]"]
    wanted = [*project["dependencies"], *extras["cuda"], *tpu, *extras["gcs"]]
    assert dependencies(ROOT / "pyproject.toml", "cuda,tpu") == wanted
    # An extra that names others of the project: theirs, and nothing under the project's own name from an index.
    development = dependencies(ROOT / "pyproject.toml", "dev")
    assert set(extras["serve"]) < set(development)
    assert not any(line.startswith("uwe_jax") for line in development)
    with pytest.raises(SystemExit, match="No extra 'gpu'"):
        dependencies(ROOT / "pyproject.toml", "cuda,gpu")


# ---- Kubernetes -----------------------------------------------------------------------------------------------------

MANIFESTS = sorted((ROOT / "launch" / "kubernetes").glob("*.yaml"))
JOBSETS = [path for path in MANIFESTS if "kind: JobSet" in path.read_text()]


def job_of(path: Path) -> tuple[dict, str, dict]:
    """The JobSet's spec, the name of its only replicated job, and that job's spec."""
    spec = yaml.safe_load(path.read_text())["spec"]
    (replicated,) = spec["replicatedJobs"]
    return spec, replicated["name"], replicated["template"]["spec"]


@pytest.mark.parametrize("path", JOBSETS, ids=lambda path: path.stem)
def test_jobset_understands_exit_statuses(path):
    spec, _, job = job_of(path)
    (container,) = job["template"]["spec"]["containers"]
    rules = job["podFailurePolicy"]["rules"]
    assert all(rule["action"] == "FailJob" for rule in rules)
    by_status = {
        status: index
        for index, rule in enumerate(rules)
        for status in rule.get("onExitCodes", {}).get("values", ())
        if rule["onExitCodes"]["containerName"] == container["name"] and rule["onExitCodes"]["operator"] == "In"
    }
    assert set(by_status) == {EXIT_USER_ERROR, EXIT_INTERRUPTED, EXIT_AGAIN}
    taken_away = [index for index, rule in enumerate(rules) if "onPodConditions" in rule]

    def action(index: int) -> str:
        """What the JobSet does after a job that failed by the rule: Kubernetes says its index in the message."""
        message = f"Container train for pod a/b failed with exit code 1 matching FailJob rule at index {index}"
        for rule in spec["failurePolicy"]["rules"]:
            assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
            patterns = rule.get("onJobFailureMessagePatterns", [""])
            if any(re.search(pattern, message) for pattern in patterns):
                return rule["action"]
        return "RestartJobSet"

    assert {action(by_status[EXIT_USER_ERROR]), action(by_status[EXIT_INTERRUPTED])} == {"FailJobSet"}
    assert {action(index) for index in [by_status[EXIT_AGAIN], *taken_away]} == {"RestartJobSetAndIgnoreMaxRestarts"}
    # Any other status fails the job at once, which the JobSet repeats a bounded number of times.
    assert job["backoffLimit"] == 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    assert 0 < spec["failurePolicy"]["maxRestarts"] <= 10
    assert spec["failurePolicy"]["restartStrategy"] == "BlockingRecreate"
    assert job["template"]["spec"]["terminationGracePeriodSeconds"] >= 120


@pytest.mark.parametrize("path", JOBSETS, ids=lambda path: path.stem)
def test_jobset_is_whole(path):
    _, _, job = job_of(path)
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert "command" not in container  # the image's own, which gets the signals
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    config = next(a for a in container["args"] if a.startswith("--config=")).removeprefix("--config=")
    assert (ROOT / config).exists()


def test_gpu_processes_find_each_other():
    spec, name, job = job_of(ROOT / "launch" / "kubernetes" / "gpu.yaml")
    assert spec["coordinator"] == {"replicatedJob": name, "jobIndex": 0, "podIndex": 0}
    (container,) = job["template"]["spec"]["containers"]
    assert container["env"][0]["name"] == "COORDINATOR"
    label = container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"]
    assert label == "metadata.labels['jobset.sigs.k8s.io/coordinator']"
    port = container["ports"][0]["containerPort"]
    assert f"--config.distributed.coordinator=$(COORDINATOR):{port}" in container["args"]
    assert f"--config.distributed.processes={job['parallelism']}" in container["args"]
    assert "--config.distributed.process=$(JOB_COMPLETION_INDEX)" in container["args"]
    claims = yaml.safe_load((ROOT / "launch" / "kubernetes" / "volume.yaml").read_text())
    (claim,) = [v["persistentVolumeClaim"] for v in job["template"]["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert claim["claimName"] == claims["metadata"]["name"]


def test_tpu_slice_has_a_pod_for_each_host():
    _, _, job = job_of(ROOT / "launch" / "kubernetes" / "tpu-v5e-32.yaml")
    pod = job["template"]["spec"]
    rows, columns = map(int, pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x"))
    assert job["parallelism"] * pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == rows * columns == 32


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_fit_the_schemas_of_kubernetes(path):
    validate = pytest.importorskip("kubernetes_validate").validate
    document = yaml.safe_load(path.read_text())
    if path in JOBSETS:
        document = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}, "spec": job_of(path)[2]}
    validate(document, "1.33", strict=True)
