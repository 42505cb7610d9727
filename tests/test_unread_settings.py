"""A setting that nothing reads beside the others is refused or reported, and every setting is one that is looked at."""

import dataclasses
import functools
import importlib.util
from pathlib import Path

import ml_collections
import pytest

from uwe_jax.config import Config, default_config
from uwe_jax.evaluation.decontamination import load_training_graphs
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.training import unread_settings as module
from uwe_jax.training.unread_settings import check_settings, unread_settings

read_config = functools.partial(read_command_line, settings=Config, command="train")

FOLDER = Path(__file__).parents[1] / "configs"
CONFIGS = [path for path in sorted(FOLDER.glob("*.py")) if "uwe_jax.commands.train " in path.read_text()]
KINDS = ("job", "vacancy", "alias")
# What a run reads whatever the other settings are.
ALWAYS_READ = {
    *("workdir", "seed", "steps", "log_every", "checkpoint_every", "wandb", "profile", "nan_hunt"),
    *(f"encoder.{name}" for name in ("name", "dtype", "dropout", "remat", "wise_ft_alpha")),
    # A kind that no source has is refused where sources are read, and so are joining without aliases and missing names.
    *("loss.distillation.path", "guide.mask", "batch.field_share", "batch.mined_negatives"),
    *("source.source", "source.kinds", "source.join_aliases", "source.cache_dir", "source.names"),
    *("split.validation", "split.test", "lengths.skill"),
    *(f"batch.{name}" for name in ("global_batch_size", "mini_batch_size", "degree_temperature", "positives")),
    *("batch.sources", "batch.prefetch", "batch.threads"),  # a batch of a single source is of one source
    *("scorer.kind", "scorer.chunk", "loss.symmetric", "evaluation.texts_per_device"),
    *(f"optimiser.{name}" for name in ("learning_rate", "warmup_fraction", "decay", "weight_decay", "clip_norm")),
    *(f"optimiser.{name}" for name in ("b1", "b2", "eps", "learning_rate_factors")),
    # One command serves one process as well as several.
    *(f"distributed.{name}" for name in ("coordinator", "processes", "process", "timeout_seconds")),
}


def config_of(**values) -> Config:
    """The defaults with some changes, by name with __ for a dot."""
    config = default_config()
    parts = values.pop("source__parts", None)
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in values.items()})
    if parts is not None:
        config.source.parts = ml_collections.ConfigDict(parts)
    return Config.from_dict(config.to_dict())


@pytest.mark.parametrize(
    ("values", "unread", "needed"),
    [
        ({"scorer__kind": "max_sim", "scorer__learn_tau_a": True}, "scorer.learn_tau_a", {"scorer__kind": "soft"}),
        ({"scorer__kind": "mean_pool", "scorer__learn_tau_a": True}, "scorer.learn_tau_a", {"scorer__kind": "soft"}),
        *(
            ({"scorer__side": side, f"scorer__{name}": value}, f"scorer.{name}", {"loss__side": loss})
            for side, name, value, loss in (
                ("query", "target_tau_a", 0.2, "target"),
                ("query", "target_weight", 0.2, "both"),
                ("target", "tau_a", 0.2, "query"),
            )
        ),
        (
            {"scorer__side": "query", "loss__side": "target", "scorer__learn_tau_a": True},
            "scorer.learn_tau_a",
            {"loss__side": "both"},
        ),
        ({"scorer__kind": "mean_pool", "scorer__tau_a": 0.2}, "scorer.tau_a", {"scorer__kind": "soft_pooled"}),
        ({"scorer__kind": "max_sim", "scorer__logits": "dot"}, "scorer.logits", {"scorer__kind": "soft_pooled"}),
        ({"scorer__kind": "soft_pooled", "scorer__reduce": "sum"}, "scorer.reduce", {"scorer__kind": "max_sim"}),
        ({"profile_steps": 5}, "profile_steps", {"profile": True}),
        ({"guide__margin": 0.1}, "guide.margin", {"guide__mask": "relative"}),
        ({"guide__name": "other"}, "guide.name", {"guide__mask": "absolute"}),
        ({"guide__name": "other"}, "guide.name", {"batch__field_share": 0.5}),
        ({"loss__distillation__queries": 9}, "loss.distillation.queries", {"loss__distillation__path": "a.csv"}),
        ({"batch__skills_per_field": 9}, "batch.skills_per_field", {"batch__field_share": 0.5}),
        ({"batch__mined_margin": 0.1}, "batch.mined_margin", {"batch__mined_negatives": 8}),
        (
            {"split__salt": "a", "split__validation": 0.0, "split__test": 0.0},
            "split.salt",
            {"split__test": 0.1},
        ),
        (
            {"batch__positives": "sampled", "loss__drop_other_positives": True},
            "loss.drop_other_positives",
            {"batch__positives": "all"},
        ),
        (
            {"source__source": "combined", "source__relations": "essential", "source__parts": {"esco": {}}},
            "source.relations",
            {"source__source": "esco"},
        ),
        (
            {"source__source": "combined", "source__graphs": ("skill_job",), "source__parts": {"esco": {}}},
            "source.graphs",
            {"source__source": "esco"},
        ),
        (
            {
                "source__source": "combined",
                "source__path": "a",
                "source__decontaminate": (),
                "source__parts": {"esco": {"path": "b"}},
            },
            "source.path",
            {"source__parts": {"esco": {"path": "b"}, "onet": {}}},
        ),
        (
            {"source__decontaminate": (), "source__path": "a", "source__source": "edges", "source__tasks_path": "b"},
            "source.tasks_path",
            {"source__decontaminate": ("test",)},
        ),
        ({"source__decontaminate": ("validation",)}, "source.decontaminate", {"source__tasks_path": "a"}),
    ],
)
def test_what_nothing_reads_is_refused(values, unread, needed):
    with pytest.raises(UserError, match=rf"^1 setting is not used: {unread} is .*, but .* Leave {unread}=") as refused:
        check_settings(config_of(**values))
    assert str(refused.value).endswith("the default, or change what it depends on.")
    check_settings(config_of(**{**values, **needed}))


def test_several_are_named_at_once():
    with pytest.raises(
        UserError, match=r"^3 settings are not used: scorer\.logits .*scorer\.tau_a .*profile_steps is 9"
    ):
        check_settings(config_of(scorer__kind="max_sim", scorer__tau_a=0.2, scorer__logits="dot", profile_steps=9))


def test_what_a_config_file_brings_along_is_reported():
    config = config_of(lengths__vacancy=40, loss__tau__alias=0.1, batch__distractor_probability=0.0)
    assert unread_settings(config, KINDS, ()) == ""
    assert unread_settings(config, ("job",), ()) == (
        "lengths.vacancy is not used: there is no skill-vacancy graph; "
        "loss.tau.alias is not used: there is no skill-alias graph; "
        "batch.distractor_probability is not used: there is no skill-vacancy graph"
    )
    turns = config_of(batch__sources="homogeneous")
    assert unread_settings(turns, KINDS, ("esco", "onet")) == ""
    assert unread_settings(turns, KINDS, ("esco",)) == "batch.sources is not used: all edges are of one source"
    last_run = config_of(split__validation=0.0, evaluation__every=9, evaluation__max_test_queries=9)
    assert unread_settings(last_run, KINDS, ()) == "evaluation.every is not used: split.validation is 0"
    check_settings(last_run)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"source__relations": "optional"}, r"source\.relations is 'optional', but sample does not read it\. Leave"),
        (
            {"source__source": "esco", "source__graphs": ("skill_alias",), "source__relations": "optional"},
            r"but esco reads it for skill_job, skill_skill, not for skill_alias\. Leave it at its default, 'both'",
        ),
        (
            {"source__source": "combined", "source__parts": {"sample": {"version": "1.0"}}},
            r"source\.parts\.sample\.version is '1\.0', but sample does not read it\.",
        ),
    ],
)
def test_what_a_source_does_not_read_is_refused(source, message):
    with pytest.raises(UserError, match=message):
        load_training_graphs(config_of(**source).source)


def test_a_language_that_only_comparisons_read_is_reported(capsys):
    load_training_graphs(config_of(source__language="de").source)
    assert "source.language is 'de', but sample does not read it. Only a comparison" in capsys.readouterr().err


def names(settings, prefix="") -> set[str]:
    found = set()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        name = f"{prefix}{field.name}"
        found |= names(value, f"{name}.") if dataclasses.is_dataclass(value) else {name}
    return found


def test_every_setting_is_in_the_table_or_always_read():
    listed = {name for rule in (*module._REFUSED, *module._REPORTED) for name in rule.settings.split()}
    assert not listed & ALWAYS_READ
    assert listed | ALWAYS_READ == names(Config())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configs_are_accepted(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    file = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(file)
    for variant in ("", *getattr(file, "VARIANTS", ()), *getattr(file, "ALONE", ())):
        check_settings(
            read_config([f"--config={path}{':' * bool(variant)}{variant}", "--config.source.path=downloads"])
        )
