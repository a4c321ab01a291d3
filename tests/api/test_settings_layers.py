"""Settings of the commands of the service: flag before variable before file before default, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from api.commands import keys, serve, worker
from api.commands.layers import FILE, VARIABLES, Layered, without_secrets
from asic_reservoir.errors import NotFoundError, UsageError

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def command() -> object:
    app = typer.Typer()
    for module in (serve, worker, keys):
        module.register(app)
    return typer.main.get_command(app)


@pytest.fixture
def ask(command, tmp_path, monkeypatch, capsys) -> Ask:
    """What a command prints, in a folder with a settings file, under an environment."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ASIC_RESERVOIR_")]:
        monkeypatch.delenv(name)

    def run(*words: str, file: str | None = None, **variables: str) -> str:
        if file is not None:
            FILE.write_text(file)
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            command.main(args=list(words), standalone_mode=False)
        return capsys.readouterr().out

    return run


def shown(text: str) -> Mapping[str, tuple[str, str]]:
    """Value and origin of every setting."""
    rows = (line.split(maxsplit=1) for line in text.splitlines())
    return {name: tuple(part.strip() for part in rest.rsplit("  ", 1)) for name, rest in rows}


def test_each_layer_beats_the_one_below(ask: Ask) -> None:
    file = "[serve]\nbody_mib = 2\ntasks_waiting = 3\nrequests_per_minute = 4\n"
    variables = {"ASIC_RESERVOIR_TASKS_WAITING": "30", "ASIC_RESERVOIR_REQUESTS_PER_MINUTE": "40"}
    found = shown(ask("serve", "--requests-per-minute", "400", "--show-settings", file=file, **variables))
    assert found["requests_per_minute"] == ("400", "--requests-per-minute")
    assert found["tasks_waiting"] == ("30", "ASIC_RESERVOIR_TASKS_WAITING")
    assert found["body_mib"] == ("2", "asic-reservoir.toml: [serve] body_mib")
    assert found["retention_days"] == ("90.0", "default")
    assert not Path("asic-reservoir-data").exists()  # it was only asked


def test_switches_lists_and_shared_settings_come_from_the_file(ask: Ask) -> None:
    file = (
        'db = "sqlite:///facts.db"\ndata = "kept"\n'
        '[serve]\nworkers = false\nboard = ["a=twin://s9", "b=twin://lv06"]\n[worker]\nboard = ["a"]\nterm = 20\n'
    )
    there = shown(ask("serve", "--show-settings", file=file))
    assert there["workers"] == ("false", "asic-reservoir.toml: [serve] workers")
    assert there["board"][0] == "a=twin://s9 b=twin://lv06"
    beside = shown(ask("worker", "--show-settings"))
    assert beside["db"] == there["db"] == ("sqlite:///facts.db", "asic-reservoir.toml: db")
    assert (beside["board"][0], beside["term"][0]) == ("a", "20.0")
    again = shown(ask("serve", "--workers", "--show-settings", ASIC_RESERVOIR_BOARD="c=twin://s9 d=twin://s9"))
    assert again["workers"] == ("true", "--workers")
    assert again["board"] == ("c=twin://s9 d=twin://s9", "ASIC_RESERVOIR_BOARD")


def test_a_variable_that_is_empty_is_not_set(ask: Ask) -> None:
    assert shown(ask("serve", "--show-settings", ASIC_RESERVOIR_LISTEN_PORT=""))["port"] == ("8337", "default")


def test_a_key_is_made_in_the_database_that_the_file_names(ask: Ask, tmp_path: Path) -> None:
    ask("keys", "create", "me", file=f'data = "{tmp_path}/kept"\n[serve]\nport = 0\n')
    assert (tmp_path / "kept" / "facts.db").is_file()
    assert not Path("asic-reservoir-data").exists()
    assert ask("keys", "list", ASIC_RESERVOIR_SETTINGS=str(tmp_path / FILE)).rstrip().endswith(" me")


def test_a_file_is_read_from_where_it_is_named(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("[serve]\nport = 1\n")
    assert shown(ask("serve", "--show-settings", "--settings", "other.toml", file="[serve]\nport = 2\n"))["port"] == (
        "1",
        "other.toml: [serve] port",
    )
    with pytest.raises(NotFoundError, match=r"settings file 'absent.toml': no such file"):
        ask("serve", "--show-settings", "--settings", "absent.toml")
    with pytest.raises(UsageError, match=r"settings file '.*': Is a directory, must be a file"):
        ask("serve", "--show-settings", "--settings", str(tmp_path))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("[serve]\nport = 65536\n", r"\[serve\] port: 65536, must be less than or equal to 65535"),
        ('[serve]\nport = "8337"\n', r"\[serve\] port: '8337', must be a whole number"),
        ("[serve]\nport = true\n", r"\[serve\] port: True, must be a whole number"),
        ("[serve]\nport = 1.5\n", r"\[serve\] port: 1.5, must be a whole number"),
        ("[serve]\nworkers = 1\n", r"\[serve\] workers: 1, must be true or false"),
        ("[serve]\nretention_days = nan\n", r"\[serve\] retention_days: nan, must be less than or equal to 36500"),
        ("[serve]\nretention_days = -1\n", r"\[serve\] retention_days: -1, must be greater than or equal to 0"),
        ("[serve]\nbody_mib = 0\n", r"\[serve\] body_mib: 0, must be greater than or equal to 1"),
        ('[serve]\nboard = "a=twin://s9"\n', r"\[serve\] board: 'a=twin://s9', must be a list"),
        ('[serve]\nboard = ["A=twin://s9"]\n', r"\[serve\] board 'A=twin://s9': must be NAME=URI"),
        ("[serve]\nprot = 1\n", r"\[serve\] prot: unknown, did you mean port\?"),
        ("[serve]\nsettings = 'x'\n", r"\[serve\] settings: unknown, must be one of anonymous, board, "),
        ("[serve]\ndata = 'x'\n", r"\[serve\] data: must stand at the top"),
        ("port = 1\n", r": port: unknown, must be one of bus, data, db, "),
        ("port = 1\n", r"settings of one command stand in its table, \[serve\] or \[worker\]"),
        ("[servce]\n", r": servce: unknown, did you mean serve\?"),
        ("serve = 1\n", r": serve: 1, must be a table \[serve\]"),
        ("db = ''\n", r": db: '', must be text in quotes, not empty"),
        ("db = [\n", r": must be TOML: "),
        ("\udcff", r": must be TOML: .*utf-8"),
        ("x = " + "[" * 100_000, r": must be TOML: "),
        ("#" * (1 << 21), r"more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_field_value_and_what_is_right(ask: Ask, file: str, words: str) -> None:
    FILE.write_bytes(file.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=rf"asic-reservoir.toml.*{words}") as refused:
        ask("serve", "--show-settings")
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("LISTEN_PORT", "many", "'many', must be a valid integer"),
        ("WORKERS", "perhaps", "'perhaps', must be a valid boolean"),
        ("RETENTION_DAYS", "inf", "'inf', must be less than or equal to 36500"),
        ("BODY_MIB", "2000", "'2000', must be less than or equal to 1024"),
        ("BOARD", "s9", "'s9': must be NAME=URI"),
    ],
)
def test_a_variable_that_cannot_be_is_refused_by_its_name(ask: Ask, name: str, value: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"^ASIC_RESERVOIR_{name}:? {words}"):
        ask("serve", "--show-settings", **{f"ASIC_RESERVOIR_{name}": value})


def test_every_option_has_its_variable_and_kubernetes_sets_none_of_them(command) -> None:
    for name in ("serve", "worker"):
        assert isinstance(command.commands[name], Layered)
        variables = {option.name: option.envvar for option in command.commands[name].params}
        assert variables.pop("show_settings") is None
        variables.pop("help", None)
        for option, variable in variables.items():
            assert variable == VARIABLES.get(option, f"ASIC_RESERVOIR_{option.upper()}")
            assert not variable.endswith(("_PORT", "_SERVICE_HOST")) or "_LISTEN_" in variable


def test_no_password_is_shown(ask: Ask) -> None:
    file = 'db = "postgresql://asic:geheim@rack-0/asic"\nbus = "nats://geheim@rack-0:4222"\n'
    board = "b=lb-box://10.0.0.1?user=root&password=geheim"
    text = ask("serve", "--show-settings", "--board", board, "--no-workers", file=file)
    assert "geheim" not in text
    assert {"postgresql://asic:***@rack-0/asic", "nats://***@rack-0:4222"} < set(text.split())
    with pytest.raises(UsageError) as refused:
        ask("serve", "--show-settings", file='db = ["postgresql://asic:geheim@rack-0/asic"]\n')
    assert "geheim" not in str(refused.value)


@given(st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=1))
def test_whatever_a_password_is_made_of_nothing_of_it_is_shown(word: str) -> None:
    secret = f"<{word}>"
    assert secret not in without_secrets(f"postgresql://asic:{secret}@rack-0/asic")
