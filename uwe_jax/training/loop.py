"""Training of a model, from its graphs to its best checkpoint."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import uwe_jax
from uwe_jax.config import Config, SourceSettings
from uwe_jax.data.graph_set import GraphSet
from uwe_jax.data.pipeline import batches
from uwe_jax.data.sampling import BatchSampler
from uwe_jax.data.split import SPLIT_BY, TEST, VALIDATION, split_graphs
from uwe_jax.data.tokens import Tokeniser
from uwe_jax.data.training_hashes import TrainingHashes
from uwe_jax.distributed import parallel
from uwe_jax.distributed.interruption import Interruption
from uwe_jax.distributed.joining import is_first, joined
from uwe_jax.models.checkpoint_reader import narration_off
from uwe_jax.models.exported import check_start, exported_fingerprint
from uwe_jax.models.folder import TRAINED_ON
from uwe_jax.models.loading import load_encoder
from uwe_jax.models.optimiser import learning_rate_schedule, make_optimiser
from uwe_jax.models.remote_workdir import RunFolder
from uwe_jax.models.resolve import absolute_name
from uwe_jax.models.uwe import UweModel, blend
from uwe_jax.runtime.errors import Stopped, UserError
from uwe_jax.runtime.files import cache_folder, write_atomically, write_json
from uwe_jax.runtime.plot import plot_training
from uwe_jax.runtime.progress import counted, report
from uwe_jax.training import report as reports
from uwe_jax.training import workdir as workdirs
from uwe_jax.training.checkpoint import Checkpoints
from uwe_jax.training.evaluation import Evaluator, against_frozen, rankings_of
from uwe_jax.training.fit import CompiledStep
from uwe_jax.training.guiding import load_guide
from uwe_jax.training.metric_writer import MetricWriter, read_metrics, wandb_module
from uwe_jax.training.nan_hunt import NanHunt
from uwe_jax.training.node_tokens import batch_builder, tokenise_nodes
from uwe_jax.training.step import TrainState, make_train_step
from uwe_jax.training.step_log import StepLog
from uwe_jax.training.teaching import check_teacher, load_teacher
from uwe_jax.training.trace import Trace
from uwe_jax.training.unread_settings import check_settings, unread_settings

LOG = logging.getLogger(__name__)


class Due(NamedTuple):
    """Work between two steps: measuring held-out nodes, and saving a checkpoint of what is new."""

    validate: bool
    save: bool

    @classmethod
    def after(cls, step: int, config: Config, *, new: bool, stopping: bool, validated: bool = False) -> Due:
        """Returns the work after so many steps; without validation nodes, only the first and last are measured.

        Args:
          new: whether this run took the step or started with it, instead of reading its checkpoint.
          stopping: whether there is only time left to save.
          validated: whether the checkpoint that was read has its validation.

        >>> config = Config(steps=100, checkpoint_every=30)
        >>> Due.after(30, config, new=True, stopping=False)
        Due(validate=False, save=True)
        >>> Due.after(100, config, new=True, stopping=True)
        Due(validate=False, save=True)
        >>> Due.after(100, config, new=False, stopping=False)
        Due(validate=True, save=True)
        """
        is_last = step == config.steps
        every = config.evaluation.every if config.split.validation else config.steps
        validate = (step % every == 0 or is_last) and not stopping and (new or not validated)
        saving = stopping or is_last or step % config.checkpoint_every == 0
        return cls(validate, step > 0 and (validate or (new and saving)))


def train(
    config: Config, load_graphs: Callable[[SourceSettings], GraphSet], arguments: Sequence[str] = ()
) -> dict[str, Any]:
    """Trains as configured, with the other processes of the training; returns the contents of summary.json.

    `load_graphs` reads the training graphs, decontaminated; `arguments`, of the command line, are for the commands that
    are printed at the end.

    Raises:
      UserError: for anything that the user can fix.
      Stopped: it was interrupted from outside; the same call resumes.
    """
    check_settings(config)
    with joined(config.distributed), narration_off(), Interruption.watched() as stop:
        devices = jax.device_count()
        for name, size in config.of_devices.items():
            if size % devices:
                raise UserError(
                    f"{name} {size} must be divisible by the {devices} devices; "
                    f"{max(1, size // devices) * devices} or {(size // devices + 1) * devices} would be."
                )
        run = RunFolder.of(config.workdir, cache_folder(config.source.cache_dir), jax.process_index())
        with workdirs.held(run) if is_first() else contextlib.nullcontext():
            return _train(config, load_graphs, run, stop, arguments)


def _train(
    config: Config,
    load_graphs: Callable[[SourceSettings], GraphSet],
    run: RunFolder,
    stop: Interruption,
    arguments: Sequence[str],
) -> dict[str, Any]:
    # ---- Workdir and devices ------------------------------------------------------------------------------------
    cache = cache_folder(config.source.cache_dir)
    run.pull()
    workdirs.check(config, run)
    workdir = run.local
    summary = workdirs.finished(config, run)
    if all(parallel.of_all_processes(summary is not None)) and summary:
        LOG.info(
            f"{config.workdir} has finished its {config.steps} steps; its result follows, and its data was not read "
            f"again. --config.steps={2 * config.steps} trains on; other settings or data need another --config.workdir."
        )
        report(reports.ending(config, summary, arguments, workdir / workdirs.SKILLS))
        return summary
    if config.wandb and is_first():
        wandb_module(config.wandb)
    devices = counted(jax.device_count(), f"{jax.devices()[0].device_kind} device")

    # ---- What takes a second to refuse, before the graphs, which may take minutes --------------------------------
    if config.loss.distillation.path:
        check_teacher(config, cache)
    pretrained = load_encoder(config.encoder.name, cache_dir=cache)

    # ---- Graphs -------------------------------------------------------------------------------------------------
    graphs = load_graphs(config.source)
    splits = split_graphs(graphs, config.split.validation, config.split.test, config.split.salt)
    validation_tasks, test_tasks = (rankings_of(each, splits, config.evaluation) for each in (VALIDATION, TEST))
    if unread := unread_settings(config, graphs.graphs, graphs.part_weights):
        LOG.warning(unread)
    sampler = BatchSampler(splits.train, config.batch, config.seed)
    fingerprints = graphs.fingerprints()

    # ---- Encoder and optimiser ----------------------------------------------------------------------------------
    tokeniser = Tokeniser(pretrained.folder, cache / "tokens", pretrained.config.vocab_size)
    model = UweModel.create(pretrained.config, config.encoder, config.scorer)
    params = model.initial_params(pretrained.params)
    optimiser = make_optimiser(config.optimiser, config.steps)
    state = TrainState.create(params, optimiser)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    report(reports.opening(config, parameters, graphs, splits.train, devices))

    # ---- Tokens and batches -------------------------------------------------------------------------------------
    labels, tables = tokenise_nodes(splits.train, tokeniser, config.lengths)
    teacher = load_teacher(config, tokeniser, cache) if config.loss.distillation.path else None
    guide = load_guide(config.guide, splits.train, pretrained, cache) if config.needs_guide else None
    build = batch_builder(config, splits.train, tables, sampler, guide, teacher)
    fingerprints |= {"teacher": teacher.fingerprint()} if teacher else {}
    fingerprints |= {"guide": guide.fingerprint} if guide else {}
    evaluator = Evaluator(model, labels, config.lengths, config.evaluation)

    # ---- Restore: 1. this workdir's newest intact checkpoint, 2. the pretrained encoder -------------------------
    rate = learning_rate_schedule(config.optimiser, config.steps)
    checkpoints = Checkpoints(run.checkpoints)
    restored = checkpoints.restore(state)
    before: dict[str, Any] = {}
    frozen: dict[str, list[float]] = {}
    if restored:
        workdirs.check_data(fingerprints, restored.meta, config.workdir)
        check_start(pretrained.folder, restored.meta, config, config.workdir)
        checkpoints.quarantine_after(restored.step)
        state, before, frozen = restored.state, restored.meta["before"], restored.meta.get("frozen", {})
        LOG.info(f"Resuming {config.workdir} after step {restored.step} of {config.steps}.")
        if (steps := restored.meta["config"]["steps"]) != config.steps:
            LOG.warning(
                f"The learning rate followed a schedule of {steps} steps so far. From here on it follows that of "
                f"{config.steps}: {float(rate(restored.step)):.2g} at step {restored.step + 1}. A run of "
                f"{config.steps} steps from its start has other results."
            )
    else:
        LOG.debug(f"Starting from the pretrained encoder: {pretrained.provenance}.")
    if is_first():
        workdirs.claim(workdir, config)
        # For evaluations, which measure the overlap of their queries and targets with the training graphs.
        taught = [teacher.training_hashes()] if teacher else []
        TrainingHashes.union([TrainingHashes.of(splits.train), *taught]).write(workdir / TRAINED_ON)
        write_atomically(workdir / workdirs.SKILLS, "\n".join(graphs.skills).encode())
    first = int(state.step)
    state = parallel.replicate(state)
    validated = restored is not None and restored.meta["validation"] is not None

    reported = test_tasks or validation_tasks
    validation = {"validation": (validation_tasks, config.evaluation.max_queries)} if validation_tasks else {}
    test = {"test": (reported, config.evaluation.max_test_queries)} if reported else {}
    if not validation:
        LOG.warning(reports.NO_VALIDATION)
    if restored and test and not frozen:  # started by a version that did not keep them
        frozen = evaluator.evaluate(parallel.replicate(params), test, label="Frozen encoder")[1]["test"]

    # ---- Steps: evaluate, save, take the next batch, step -------------------------------------------------------
    # Batches that take more rows than usual are encoded in parts, so that they take no more memory.
    rows_at_once = build.rows_at_once(config.batch.mini_batch_size)
    train_step = make_train_step(model, config.loss, optimiser, config.seed, rows_at_once)
    compiled = CompiledStep(train_step, config.batch, copies=int(config.nan_hunt))
    if first < config.steps:
        batch = build(first)
        rows, length = batch["packed"]["segments"].shape
        real = np.count_nonzero(batch["packed"]["segments"]) / (rows * length)
        LOG.debug(f"Texts are packed into {rows} rows of {length} tokens; {real:.0%} of the first batch's are real.")
        for line in reports.negatives(config, batch, sampler(first)):
            LOG.info(line)
        compiled.prepare(state, parallel.shard_rows(batch))
    train_step = compiled
    if config.nan_hunt:
        train_step = NanHunt(compiled, config, model, rows_at_once, workdir / "nan", checkpoints.describe)
    about = {
        "version": uwe_jax.__version__,
        "config": config.to_dict(),
        "fingerprints": fingerprints,
        "split_by": SPLIT_BY,
        "encoder": {
            "provenance": pretrained.provenance,
            "fingerprint": exported_fingerprint(pretrained.folder),
            "name": absolute_name(config.encoder.name),  # the config keeps the name as given, to compare settings
            **pretrained.config.to_hf(),
        },
    }
    stream = batches(build, config.batch, first=first, last=config.steps)
    writer = MetricWriter(
        workdir, resume_step=first, validated=validated, project=config.wandb, config=config.to_dict()
    )
    log = StepLog(config, writer, rate, first, remedy=checkpoints.describe, facts=compiled.facts)
    trace = Trace(workdir / "trace", first, config.profile_steps if config.profile else 0, wait=log.settle)
    measured: dict[str, Any] = {}
    by_query: dict[str, dict[str, list[float]]] = {}
    alpha = config.encoder.wise_ft_alpha

    def in_use(state: TrainState) -> Any:
        """Returns the parameters to measure: the trained ones, interpolated with the pretrained ones by WiSE-FT."""
        trained = state.params
        return trained if alpha == 1 else parallel.replicate(blend(parallel.first(trained), pretrained.params, alpha))

    with stop.later(), contextlib.closing(writer):
        for step in range(first, config.steps + 1):
            is_last = step == config.steps
            new = restored is None or step > first
            stopping = new and stop.requested()
            due = Due.after(step, config, new=new, stopping=stopping, validated=validated)
            results = None
            if due.validate or due.save:
                log.settle()  # a loss that is not finite is noticed before anything is saved
            wanted = validation | (test if step == 0 or is_last else {})
            if due.validate and wanted:
                started = time.perf_counter()
                try:
                    with stop.at_once():
                        measured, by_query = evaluator.evaluate(in_use(state), wanted, label=f"Step {step}")
                except Stopped:
                    stopping = True
                else:
                    results = measured.get("validation")
                    if step == 0:
                        before, frozen = measured["test"], by_query["test"]
                    if results:
                        writer.write(step, {"validation": results})
                        LOG.info(f"Step {step}: " + reports.one_line(results))
                    further = -(-(config.steps - step) // config.evaluation.every) if validation else 1 - is_last
                    log.clock.pause(time.perf_counter() - started, further)
            if due.save and (results or new):
                if is_first():
                    run.try_to_push()  # before the checkpoint: no resumed run lacks the metrics before it
                position = {"data": {"seed": config.seed, "next_batch": step}, "validation": results}
                start = {"before": before, "frozen": frozen}
                validation_map = results["macro_map"] if results else None
                checkpoints.save(step, parallel.first(state), about | position | start, validation_map)
            if stopping:
                trace.close()
                log.close()
                checkpoints.close()
                raise Stopped(f"Asked to stop. {checkpoints.describe()} Re-run the same command to resume.")
            if is_last:
                break

            with trace.step(step):
                state, metrics = train_step(state, parallel.shard_rows(next(stream)))
                log.taken(step + 1, metrics)
        trace.close()
        log.close()
        checkpoints.wait()

    # ---- The best checkpoint, before against after --------------------------------------------------------------
    last = int(parallel.first(state.step))
    better = checkpoints.read_best(parallel.first(state), current=last)
    best = better.step if better else last
    if test and ("test" not in measured or better):
        state = parallel.replicate(better.state) if better else state
        measured, by_query = evaluator.evaluate(in_use(state), test, label=f"Best checkpoint, step {best}")
    most = config.evaluation.max_test_queries
    summary = {
        "before": before,
        "after": measured.get("test", {}),
        "against_frozen": against_frozen(by_query["test"], frozen, reported, most) if test else {},
        "step": best,
        "steps": config.steps,
        "held_out": "test" if test_tasks else "validation" if validation else "none",
        "fingerprints": fingerprints,
        "encoder": pretrained.provenance,
    }
    checkpoints.close()
    if is_first():
        plot_training(read_metrics(workdir / "metrics.jsonl"), workdir / "training.png")
        write_json(workdir / "summary.json", summary)  # the last file: with it the run is finished
        run.push()
    report("\n" + reports.ending(config, summary, arguments, workdir / workdirs.SKILLS))
    return summary
