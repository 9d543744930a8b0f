"""Documents that are made from code are as the code is now."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command

from harvester import cli, docs
from harvester.config import keys, settings

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "accounts.example.toml"
COMMANDS = dict(docs.tree(get_command(cli.app)))
VARIABLES = {
    "WECHAT_COMPONENT_SECRET": "component-secret",
    "WECHAT_SECRET_BRAND_A": "brand-secret",
    "TOKENS_AUTHORIZATION": "authorization",
}
"""What the example's secrets stand in."""


@pytest.mark.parametrize("name", docs.FILES)
def test_generated_documents_are_fresh(name: str) -> None:
    stale = (ROOT / name).read_text("utf-8") != docs.FILES[name]()
    assert not stale, f"{name} is stale: make docs"


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_is_documented_and_has_help(words: str) -> None:
    command = COMMANDS[words]
    assert f"\n## {words}" in docs.commands()
    assert command.help
    assert not [
        one.name for one in command.params if one.name != "help" and not one.help
    ]


def test_every_registered_command_is_on_the_command_line() -> None:
    assert {f"harvester {words}" for words, _ in cli.COMMANDS} < set(COMMANDS)


def test_every_key_is_documented_with_a_meaning() -> None:
    text = docs.configuration()
    for key in keys.every():
        assert f"\n| `{key.name}` |" in text
        assert key.field.description


def test_the_example_is_a_configuration_and_shows_the_defaults(tmp_path: Path) -> None:
    loaded = settings.load(EXAMPLE, VARIABLES)
    assert [one.name for one in loaded.accounts] == ["brand-a"]
    empty = tmp_path / "accounts.toml"
    empty.touch()
    defaults = settings.load(empty, {}).config.model_dump(
        exclude={"accounts", "lake", "vault"}
    )
    assert loaded.config.model_dump(exclude={"accounts", "lake", "vault"}) == defaults


def test_the_example_shows_every_key_in_its_table() -> None:
    table = ""
    shown = set()
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if header := re.match(r"#?\[+(\w+)(\]+)", line):
            table = f"{header[1]}{'[]' if header[2] == ']]' else ''}."
        elif key := re.match(r"#?(\w+) = ", line):
            shown.add(table + key[1])
    assert shown == {key.name for key in keys.every()}


@pytest.mark.parametrize("guest", [False, True], ids=["owner", "guest"])
def test_what_the_example_comments_out_is_right_too(
    tmp_path: Path, guest: bool
) -> None:
    left_out = r"secret|ticket" if guest else r"token_"
    text = EXAMPLE.read_text("utf-8")
    start, end = text.index("#[platform]"), text.index("# For receiving")
    platform = re.sub(rf"^#({left_out}).*$", "", text[start:end], flags=re.MULTILINE)
    path = tmp_path / "accounts.toml"
    path.write_text(text[:start] + re.sub(r"(?m)^#(?=\S)", "", platform) + text[end:])
    (tmp_path / "ticket.txt").write_text("ticket")
    assert tomllib.loads(path.read_text())["platform"]["appid"]
    assert settings.load(path, VARIABLES).config.platform is not None
