"""Encryption at rest: the store never sees a secret, keys rotate, a wrong one is told."""

import asyncio
import base64
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from vaults import KEY, OTHER_KEY, STORES, Clock, Place, place, redis_server, url_of

from harvester.api.callback.contract import Code, Grant
from harvester.api.vault.inspection import findings, inspected, resealed
from harvester.api.vault.records import Facts
from harvester.api.vault.sealing import Condition, Seals, kept_in
from harvester.api.vault.vault import Vault, opened
from harvester.errors import AuthorisationError, UsageError
from harvester.secret import Secret

NAME = "wx00000000000000aa"
PLATFORM = "wxffffffffffffffff"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(params=STORES)
async def where(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with place(url_of(request.param, request, tmp_path), Clock()) as made:
        yield made


async def fill(vault: Vault) -> None:
    """One of each kind of secret."""
    grant = Grant(
        appid=NAME,
        token="canary token",
        refresh_token="canary refresh",
        learned_at=1e6,
        expires_at=2e6,
    )
    code = Code(value="canary code", appid=NAME, created_at=1e6, until=2e6)
    await vault.put_grant(PLATFORM, grant, 100)
    await vault.put_ticket(PLATFORM, "canary ticket", 100)
    await vault.put_code(PLATFORM, code, 60)
    await vault.learn({NAME: Facts(name="brand")}, 100)


async def raw(vault: Vault) -> bytes:
    store = vault.documents.store
    held = sorted([(name, content) async for name, content in store.all()])
    return b"".join(name.encode() + content for name, content in held)


async def test_with_a_key_no_secret_reaches_the_store_and_names_stay_readable(
    where: Place,
) -> None:
    vault = where.open(KEY)
    await fill(vault)
    held = await raw(vault)
    assert b"canary" not in held
    assert NAME.encode() in held
    assert b"brand" in held
    assert (await where.open(KEY).read(NAME)).token == "canary token"


def test_with_a_key_no_secret_is_in_any_file(tmp_path: Path) -> None:
    async def filled() -> None:
        async with opened(f"sqlite:///{tmp_path}/vault.db", keys=[KEY]) as vault:
            await fill(vault)

    asyncio.run(filled())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert NAME.encode() in b"".join(files.values())
    assert [name for name, held in files.items() if b"canary" in held] == []


async def test_a_backup_is_a_vault_of_its_own_in_a_file(
    where: Place, tmp_path: Path
) -> None:
    vault = where.open(KEY)
    await fill(vault)
    copy = tmp_path / "copy.db"
    await vault.documents.store.back_up(copy)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert b"canary" not in copy.read_bytes()
    async with opened(f"sqlite:///{copy}", keys=[KEY]) as restored:
        assert await restored.read(NAME) == await vault.read(NAME)
        assert await restored.profile(NAME) == await vault.profile(NAME)
        assert (await restored.ticket(PLATFORM)).value == "canary ticket"
        assert await raw(restored) == await raw(vault)
    with pytest.raises(UsageError, match="exists already"):
        await vault.documents.store.back_up(copy)


async def test_without_a_key_values_are_plain(where: Place) -> None:
    vault = where.open()
    await fill(vault)
    assert b"canary token" in await raw(vault)


async def test_a_vault_that_was_plain_is_read_with_a_key_and_sealed_when_written(
    where: Place,
) -> None:
    await fill(where.open())
    vault = where.open(KEY)
    assert (await vault.read(NAME)).refresh_token == "canary refresh"
    assert (await inspected(vault, 1e6)).plain == 5
    await vault.put_refresh_token(NAME, "canary newer")
    assert (await inspected(vault, 1e6)).plain == 2
    assert b"canary refresh" not in await raw(vault)


@pytest.mark.parametrize("keys", [(), (OTHER_KEY,)], ids=["none", "another"])
async def test_a_wrong_key_is_told_before_anything_is_done(
    where: Place, keys: tuple[Secret, ...]
) -> None:
    await fill(where.open(KEY))
    with pytest.raises(AuthorisationError, match=r"\[vault\]") as told:
        async with where.open(*keys):
            raise AssertionError("it must not open")
    assert told.value.exit_code == 4
    assert KEY.reveal() not in str(told.value)
    with pytest.raises(AuthorisationError):
        await where.open(*keys).read(NAME)


async def test_keys_rotate(where: Place) -> None:
    await fill(where.open(OTHER_KEY))
    vault = where.open(KEY, OTHER_KEY)
    assert (await vault.read(NAME)).token == "canary token"
    before = await inspected(vault, 1e6)
    assert (before.older_key, before.plain, before.unreadable) == (5, 0, 0)
    assert "--reseal" in findings(before, platform=False)[0][1]
    assert await resealed(vault) == 3
    assert (await inspected(vault, 1e6)).older_key == 0
    assert await resealed(vault) == 0
    async with where.open(KEY) as alone:
        assert (await alone.read(NAME)).token == "canary token"
        assert (await alone.ticket(PLATFORM)).value == "canary ticket"


async def test_an_inspection_counts_what_there_is(where: Place) -> None:
    vault = where.open(KEY)
    await fill(vault)
    await vault.put_standing(PLATFORM, "wx00000000000000bb", authorised=False, at=100)
    found = await inspected(vault, 1e6)
    assert (found.accounts, found.withdrawn, found.refresh_tokens) == (2, 1, 1)
    assert (found.tokens, found.codes, found.encrypted) == (1, 1, True)
    assert found.ticket_age == 1e6 - 100
    assert found.platform_token_left is None
    assert (found.plain, found.older_key, found.unreadable) == (0, 0, 0)
    assert findings(found, platform=True) == [
        ("the ticket is older than 12 hours", "run `harvester serve`, or `harvester vault put-ticket`")
    ]  # fmt: skip


async def test_secrets_that_no_key_opens_are_counted(where: Place) -> None:
    await fill(where.open(OTHER_KEY))
    both = where.open(KEY, OTHER_KEY)
    await both.documents.start()
    store = both.documents.store
    await store.change(":vault", lambda _: (b'{"check":{"plain":"x"}}', None))
    found = await inspected(where.open(KEY), 1e6)
    assert found.unreadable == 5
    assert "key" in findings(found, platform=False)[0][1]


@pytest.mark.parametrize("text", ["short", "x" * 44, "MDEy", "é" * 44])
def test_what_is_no_key_is_refused_with_a_way_to_make_one(text: str) -> None:
    with pytest.raises(UsageError, match="openssl rand -base64 32") as told:
        Seals([Secret(text)])
    assert text not in str(told.value)


def test_both_alphabets_of_base64_make_the_same_key() -> None:
    key = bytes(range(224, 256))
    standard = Secret(base64.b64encode(key).decode())
    urlsafe = Secret(base64.urlsafe_b64encode(key).decode())
    assert Seals([urlsafe]).unseal(Seals([standard]).seal("value")) == "value"


def test_a_secret_stands_to_the_keys_in_one_of_four_ways() -> None:
    old, new = Seals([OTHER_KEY]), Seals([KEY, OTHER_KEY])
    assert new.condition(new.seal("value")) is Condition.SEALED
    assert new.condition(old.seal("value")) is Condition.OLDER
    assert new.condition(Seals().seal("value")) is Condition.PLAIN
    assert old.condition(new.seal("value")) is Condition.UNREADABLE
    assert Seals().condition(Seals().seal("value")) is Condition.SEALED


def test_secrets_are_found_wherever_they_stand() -> None:
    document = {
        "a": {"plain": "1"},
        "b": [{"sealed": "2"}, {"c": {"plain": "3"}}],
        "d": 4,
    }
    assert list(kept_in(document)) == [
        {"plain": "1"},
        {"sealed": "2"},
        {"plain": "3"},
    ]
    assert list(kept_in({})) == []
