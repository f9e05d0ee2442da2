"""Flags, TOML keys and environment variables: one declaration, the same value by every way."""

import json

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from alexnet_pipeline.cli.main import cli
from alexnet_pipeline.options import parameters_of
from alexnet_pipeline.records import SetOptions
from alexnet_pipeline.shards.options import RunOptions, Selection


def run(*arguments, **options):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], **options)


def commands(group=cli, path=()):
    """(path, command) of every command, nested ones included."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_every_field_is_a_flag_with_its_words() -> None:
    """`shard --help` says what the records say, and the Python function has the same parameters."""
    options = {option.name: option for option in cli.commands["shard"].params}
    for record in (Selection, SetOptions, RunOptions):
        for parameter in parameters_of(record):
            option = options[parameter.name]
            assert f"--{parameter.flag}" in option.opts
            assert option.help.startswith(parameter.option.help)


def test_every_option_has_a_variable_named_after_its_flag() -> None:
    """`--shard-size` of `shard` is ALEXNET_PIPELINE_SHARD_SHARD_SIZE, and no two options share one."""
    seen = set()
    for path, command in commands():
        for option in command.params:
            if isinstance(option, click.Option) and option.envvar:
                long = next(name for name in option.opts if name.startswith("--"))
                assert option.envvar == "_".join(("ALEXNET_PIPELINE", *path, long[2:])).upper().replace("-", "_")
                assert option.envvar not in seen
                seen.add(option.envvar)
    assert {"ALEXNET_PIPELINE_SHARD_METHOD", "ALEXNET_PIPELINE_BENCH_LOAD_BATCH_SIZE"} <= seen


def test_variables_work(raw_folders, tmp_path) -> None:
    """Those of a command and the global ones; commas separate methods."""
    variables = {"ALEXNET_PIPELINE_SHARD_METHOD": "nearest,lanczos", "ALEXNET_PIPELINE_JSON": "1"}
    done = run("shard", raw_folders, tmp_path, "--split", "val", "--size", 32, env=variables)
    assert done.exit_code == 0, done.output
    assert [made["method"] for made in json.loads(done.stdout)] == ["nearest", "lanczos"]
    assert json.loads(run("methods", env={"ALEXNET_PIPELINE_JSON": "1"}).stdout)


def test_unknown_variables_are_named() -> None:
    """In a warning, with the one that may have been meant; the tests' own is known."""
    variables = {"ALEXNET_PIPELINE_SHARD_METHODS": "x", "ALEXNET_PIPELINE_DATA": "/data"}
    done = run("methods", env=variables)
    assert done.exit_code == 0
    assert "ALEXNET_PIPELINE_SHARD_METHODS is set, but no option" in done.stderr
    assert "did you mean ALEXNET_PIPELINE_SHARD_METHOD?" in done.stderr
    assert "_DATA" not in done.stderr


def test_a_file_a_variable_and_a_flag_win_in_this_order(raw_folders, tmp_path) -> None:
    """And a text stands for a list of one."""
    config = tmp_path / "c.toml"
    config.write_text('\ufeff[shard]\nmethod = "nearest"\nshard-size = 7\nsplit = ["val"]\nsize = 32\n')
    shards = []
    for variables, flags in (({}, ()), ({"ALEXNET_PIPELINE_SHARD_SHARD_SIZE": "10"}, ()), ({}, ("--shard-size", 20))):
        out = tmp_path / str(len(shards))
        done = run("--json", "--config", config, "shard", raw_folders, out, *flags, env=variables)
        assert json.loads(done.stdout)[0]["method"] == "nearest"
        shards.append(json.loads(done.stdout)[0]["shards"])
    assert shards == [3, 2, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[shard]\nshardsize = 7\n", "[shard] has no option 'shardsize'; did you mean 'shard-size'?"),
        ("[shard]\nsize = [1]\n", "size: [1] is not a value of --size"),
        ("[shard]\nshuffle = 3\n", "shuffle: 3 is not a value of --shuffle"),
        ("[shard]\nmethod = {}\n", "is not a value of --method"),
        ("[shardd]\nsize = 1\n", "[shardd] is not a command's table"),
        ("size = 1\n", "[size] is not a command's table"),
        ("[bench.load]\nbatchsize = 7\n", "has no option 'batchsize'"),
        ("[shard\n", "at line 1"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, text, words) -> None:
    """That names the file, the table and the key."""
    config = tmp_path / "c.toml"
    config.write_text(text)
    done = run("--config", config, "methods")
    assert done.exit_code == 2
    assert words in done.stderr
    assert str(config) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_file_reaches_every_command(tmp_path) -> None:
    """Those within commands, too, and given after the command."""
    config = tmp_path / "c.toml"
    config.write_text(
        '[compare]\nscale = [2.0]\n[bench.load]\nbatch-size = 7\n[shard]\nmethod = ["nearest"]\nsize = 0\n'
    )
    assert run("--config", config, "methods").exit_code == 0
    done = run("shard", "a", "b", "--config", config)
    assert done.exit_code == 2
    assert "--size: 0 is out of range" in done.stderr


@pytest.mark.parametrize("before", [True, False])
def test_global_options_work_before_and_after_the_command(before, tmp_path) -> None:
    """--json, -q, -v, --no-progress and --config."""
    config = tmp_path / "c.toml"
    config.write_text("")
    for words in (["--json"], ["-q", "--json"], ["--no-progress", "--json"], ["--config", config, "--json"]):
        done = run(*words, "methods") if before else run("methods", *words)
        assert {method["name"] for method in json.loads(done.stdout)} >= {"lanczos"}
    done = run("-v", "verify", "/nowhere") if before else run("verify", "/nowhere", "-v")
    assert "Traceback" in done.stderr


def test_every_command_takes_the_global_options() -> None:
    """Also those within commands."""
    for path, command in commands():
        if not isinstance(command, click.Group):
            assert {"quiet", "verbose", "as_json", "no_progress", "config"} <= {p.name for p in command.params}, path


def test_completion_knows_methods_presets_and_paths() -> None:
    """Methods also behind a comma; other values by their choices."""

    def complete(words, incomplete):
        return ShellComplete(cli, {}, "alexnet-pipeline", "_X").get_completions(words, incomplete)

    assert {"lanczos"} <= {item.value for item in complete(["shard", "--method"], "lanc")}
    assert {"nearest,bilinear"} <= {item.value for item in complete(["compare", "--method"], "nearest,bil")}
    assert [item.value for item in complete(["shard", "--preset"], "cu")] == ["cuda-convnet2"]
    assert "quarter" in [item.value for item in complete(["train", "--preset"], "")]
    assert complete(["shard"], "")[0].type in {"file", "dir"}
