"""Tests that settings and overrides are checked, and errors name the setting and its allowed values."""

import functools
import json
import re
from pathlib import Path

import ml_collections
import pytest

from uwe_jax.config import BatchSettings, Config, PartSettings, PerGraph, ScorerSettings, combine, default_config
from uwe_jax.runtime import config_file as config_file_module
from uwe_jax.runtime.config_file import read_command_line
from uwe_jax.runtime.errors import UserError
from uwe_jax.runtime.settings import current_path, from_mapping, warn_of_former

read_config = functools.partial(read_command_line, settings=Config, command="train")


def read(**changes):
    config = default_config()
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            setattr(getattr(config, section), name, value)
        else:
            setattr(config, section, value)
    return Config.from_dict(config.to_dict())


def test_defaults_survive_the_round_trip():
    assert Config.from_dict(default_config().to_dict()) == Config()
    assert json.loads(json.dumps(Config().to_dict()))["loss"]["tau"] == {
        "job": 0.05,
        "vacancy": 0.02,
        "alias": 0.02,
    }


def test_paper_values_are_the_defaults():
    config = Config()
    assert (config.batch.global_batch_size, config.optimiser.learning_rate) == (512, 8e-5)
    assert (config.optimiser.warmup_fraction, config.batch.distractor_probability) == (0.1, 0.8)
    assert config.loss.alpha == PerGraph(1.0, 0.5, 0.5)
    assert config.loss.tau == PerGraph(0.05, 0.02, 0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"scorer__kind": "cosine"}, "scorer.kind is 'cosine'; it must be one of 'soft'"),
        ({"scorer__tau_a": 0.0}, "scorer.tau_a is 0.0"),
        ({"optimiser__b1": 1.0}, "optimiser.b1 is 1.0; it must be at least 0 and below 1"),
        ({"optimiser__eps": -1.0}, "optimiser.eps is -1.0; it must be above 0"),
        (
            {"optimiser__learning_rate_factors": (("tau_a", -1.0),)},
            "optimiser.learning_rate_factors: the factor of 'tau_a' is -1.0; it must be at least 0",
        ),
        ({"split__validation": 1.5}, "split.validation is 1.5; it must be between"),
        ({"encoder__dtype": "float16"}, "encoder.dtype"),
        ({"evaluation__skip": ("job_to_alias",)}, "evaluation.skip"),
        ({"source__kinds": ("title",)}, "source.kinds is 'title'"),
        ({"source__graphs": (1,)}, "source.graphs[0] is 1; it must be of type str"),
        ({"optimiser__learning_rate_factors": (("a",),)}, "learning_rate_factors[0] is ('a',); it must have 2 entries"),
        ({"workdir": ""}, "workdir is empty"),
    ],
)
def test_a_value_out_of_range_is_named(changes, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read(**changes)


def test_an_unknown_key_is_named():
    config = default_config()
    with config.unlocked():
        config.batch.sice = 3
    with pytest.raises(UserError, match=r"Unknown setting batch\.sice\."):
        Config.from_dict(config.to_dict())


@pytest.mark.parametrize(
    ("content", "name"), [({"batch": 7}, "batch"), (["batch"], "The content"), (None, "The content")]
)
def test_a_section_that_holds_no_settings_is_named(content, name):
    with pytest.raises(UserError, match=rf"^{name} is .*; it must be a section with settings of its own\.$"):
        from_mapping(Config, content)


def test_parts_have_settings_of_their_own():
    config = default_config()
    config.source.source = "combined"
    config.source.parts = combine(onet={"weight": 2.0}, mine={"source": "edges", "graphs": ("skill_job",)})
    config.source.parts.onet.weight = 0.5
    read = Config.from_dict(config.to_dict())
    expected = {"onet": PartSettings(weight=0.5), "mine": PartSettings(source="edges", graphs=("skill_job",))}
    assert read.source.parts == expected
    assert Config.from_dict(read.to_dict()) == read
    for path in ("source.parts.onet.weight", "source.parts.any.path"):
        assert current_path(Config, path, 1) == (path, 1)
    with pytest.raises(UserError, match=r"Unknown setting source\.parts\.onet\.wait\. Did you mean"):
        current_path(Config, "source.parts.onet.wait", 1)
    with pytest.raises(UserError, match=r"Unknown setting source\.parts\.onet\.weigth"):
        combine(onet={"weigth": 2.0})
    with pytest.raises(UserError, match=r"source\.parts\.onet is None; it must be a section"):
        combine(onet=None)
    config.batch = ml_collections.ConfigDict({"parts": "apart"})
    assert Config.from_dict(config.to_dict()).batch == BatchSettings(sources="homogeneous")
    config.source.parts = combine(onet={"weight": 2})
    config.source.parts.onet.weight = 0.5
    assert Config.from_dict(config.to_dict()).source.parts == {"onet": PartSettings(weight=0.5)}
    with pytest.raises(UserError, match=r"weight is -1\.0; it must be at least"):
        Config.from_dict({"source": {"parts": {"onet": {"weight": -1.0}}}})
    with pytest.raises(UserError, match=r"source\.parts is 3; it must be a section"):
        Config.from_dict({"source": {"parts": 3}})


FORMER = {
    "source": {"keep_out": ["validation"]},
    "encoder": {"pretrained_share": 0.9},
    "batch": {"parts": "apart", "encode_chunk_size": 32},
}
CURRENT = {
    "source": {"decontaminate": ["validation"]},
    "encoder": {"wise_ft_alpha": 0.1},
    "batch": {"sources": "homogeneous", "mini_batch_size": 32},
}


def test_former_names_of_settings_are_translated(tmp_path, caplog):
    """In saved configs silently; in a config file and on a command line with one warning that names the new one."""
    expected = Config.from_dict(CURRENT)
    assert Config.from_dict(FORMER) == expected
    assert not caplog.messages
    with pytest.raises(UserError, match=r"encoder\.wise_ft_alpha is 'half'; it must be of type float"):
        Config.from_dict({"encoder": {"pretrained_share": "half"}})
    with pytest.raises(UserError, match=r"Unknown setting encoder\.keep_out"):
        Config.from_dict({"encoder": {"keep_out": ()}})

    changes = "".join(
        f"    config.{section}.{name} = {tuple(value) if name == 'keep_out' else value!r}\n"
        for section, values in FORMER.items()
        for name, value in values.items()
    )
    path = config_file(tmp_path, f"{MADE}{changes}    return config\n")
    warn_of_former.cache_clear()
    assert read_config([f"--config={path}"]) == read_config([f"--config={path}"]) == expected
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "Warning: keep_out is now decontaminate=('validation',)",
        "Warning: pretrained_share is now wise_ft_alpha=0.1",
        "Warning: parts is now sources=homogeneous",
        "Warning: encode_chunk_size is now mini_batch_size=32",
    ]
    caplog.clear()
    flags = ["--config.source.keep_out=('validation',)", "--config.encoder.pretrained-share", "0.9"]
    flags += ["--config.batch.parts=together", "--config.batch.sources=homogeneous"]
    assert read_config(["--config=quickstart", *flags, "--config.batch.encode_chunk_size=32"]) == read_config(
        [
            *("--config=quickstart", "--config.source.decontaminate=('validation',)"),
            *("--config.encoder.wise_ft_alpha=0.1", "--config.batch.sources=homogeneous"),
            "--config.batch.mini_batch_size=32",
        ]
    )
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "Warning: source.keep_out is now source.decontaminate=('validation',)",
        "Warning: encoder.pretrained_share is now encoder.wise_ft_alpha=0.1",
        "Warning: batch.parts is now batch.sources=mixed",
        "Warning: batch.encode_chunk_size is now batch.mini_batch_size=32",
    ]


def test_a_saved_scorer_without_a_side_is_the_querys():
    saved = Config().to_dict()
    for name in ("side", "target_tau_a", "target_weight"):
        del saved["scorer"][name]
    assert Config.from_dict(saved).scorer == ScorerSettings(side="query")
    saved["scorer"]["kind"] = "mean_pool"  # has no sides, and so none that is not the default
    assert Config.from_dict(saved).scorer == ScorerSettings(kind="mean_pool")


def test_tuples_may_come_as_lists():
    config = read(optimiser__learning_rate_factors=(("embeddings", 0.5),))
    assert config.optimiser.learning_rate_factors == (("embeddings", 0.5),)


def config_file(folder: Path, content: str | bytes, name: str = "mine") -> Path:
    path = folder / "configs" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


MADE = "from uwe_jax.config import default_config\n\n\ndef get_config():\n    config = default_config()\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = (\n", r"mine\.py, line 1: '\(' was never closed\. Correct the config file"),
        ("def get_config():\nreturn 1\n", r"mine\.py, line 2: expected an indented block"),
        (b"x = 1\0\n", "source code string cannot contain null bytes"),
        ("import not_there\n", r"mine\.py, line 1: ModuleNotFoundError: No module named 'not_there'"),
        ("def get_config():\n    return nowhere\n", r"mine\.py, line 2: NameError: name 'nowhere' is not defined"),
        (f"{MADE}    config.stepz = 3\n    return config\n", r"mine\.py, line 6: AttributeError: .*stepz"),
        (f"{MADE}    config.steps = 'x'\n    return config\n", r"mine\.py, line 6: TypeError: Could not override"),
        ("x = 1\n", r"the file of --config has no function get_config\(\)"),
        ("def get_config():\n    return 3\n", r"returns a int; it must return a ConfigDict"),
    ],
)
def test_an_error_in_a_config_file_is_reported_with_its_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_config([f"--config={config_file(tmp_path, content)}"])


def test_a_config_file_is_not_run_in_the_namespace_of_the_one_before(tmp_path):
    read_config([f"--config={config_file(tmp_path, f'{MADE}    return config')}"])
    with pytest.raises(UserError, match=r"has no function get_config\(\)"):
        read_config([f"--config={config_file(tmp_path, 'x = 1', 'other')}"])


def test_configs_are_listed_beside_one_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(config_file_module, "_shipped", lambda: tmp_path / "configs")
    config_file(tmp_path, "x = (\n", "broken")
    config_file(tmp_path, '"""Mine.\n\nuwe-jax train --config=...\n"""\n', "mine")
    (tmp_path / "configs" / "folder.py").mkdir()
    assert config_file_module.shipped_configs("train") == [
        ("broken", "(cannot be read: '(' was never closed, line 1)"),
        ("folder", "(cannot be read: Is a directory)"),
        ("mine", "Mine."),
    ]
    with pytest.raises(UserError, match=r"--config cannot be read: there is no file configs/none.py"):
        read_config(["--config=configs/none.py"])
