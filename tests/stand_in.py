"""Stands in for the commands of a cell: leaves what they leave, or fails as it is told to.

    python stand_in.py FOLDER train|evaluate [flags of the command]

FOLDER/calls gets a line for every call. FOLDER/orders.json says, by words that have to stand in the arguments, what
happens instead: fail, kill, nothing or wait.
"""

import json
import os
import re
import signal
import sys
import time
import zlib
from pathlib import Path


def obey(folder: Path, order: str) -> None:
    """Ends as an order says."""
    print("a bar |##  |\ra bar |####|\nTraceback of many lines")
    if order == "fail":
        print("Error: The batch was too large. Make it smaller.")
        sys.exit(2)
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "wait":
        (folder / "waiting").write_text(str(os.getpid()))
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            with (folder / "interrupts").open("a") as file:
                file.write("x")
            sys.exit(130)
    sys.exit(0)


def score(text: str) -> float:
    """A number from 10 to 30 that only the text decides."""
    return 10 + zlib.crc32(text.encode()) % 2000 / 100


def train(arguments: str) -> None:
    workdir = Path(re.search(r"--config\.workdir=(\S+)", arguments)[1])
    (workdir / "checkpoints" / "2").mkdir(parents=True, exist_ok=True)
    ranking = {"map": score(workdir.parent.name), "rp@10": 40.0}
    after = {"skill_to_job": ranking, "macro_map": ranking["map"], "macro_rp@10": 40.0}
    (workdir / "summary.json").write_text(json.dumps({"after": after}))


def evaluate(arguments: str) -> None:
    model, out = (re.search(rf"--{name} (\S+)", arguments)[1] for name in ("model", "out"))
    trained = "/training" in model
    assert not trained or Path(model, "checkpoints", "2").is_dir()
    cell = Path(out).parent.name
    metrics = {"map": score(cell), "rp@10": 2 * score(cell)}
    in_domain = {"domain": "in-domain", "queries": 1, "targets": 1, "edges": 1} if cell.startswith("job") else None
    results = {
        "job_to_skill": {"metrics": metrics, "leakage": in_domain},
        "house": {"metrics": {"map": 20.0, "rp@10": 30.0}, "leakage": None},
    }
    content = {
        "tasks": {
            "job_to_skill": {"title": "Job2Skill", "group": "job_to_skill"},
            "house": {"title": "HOUSE|x", "group": "skill_extraction"},
        },
        "skipped": [{"task": "tech", "reason": "no file found"}],
        "models": {"model": {"results": results}},
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    Path(out, "results.json").write_text(json.dumps(content))


if __name__ == "__main__":
    home, command, given = Path(sys.argv[1]), sys.argv[2], " ".join(sys.argv[3:])
    with (home / "calls").open("a") as calls:
        calls.write(f"{command} {given}\n")
    orders = json.loads((home / "orders.json").read_text()) if (home / "orders.json").exists() else {}
    for words, order in orders.items():
        if all(word in f"{command} {given}" for word in words.split()):
            obey(home, order)
    {"train": train, "evaluate": evaluate}[command](given)
