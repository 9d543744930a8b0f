"""The vault in Redis: refused where it may lose tokens, and told apart when it fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from vaults import Clock, minted, redis_server, told

from harvester.api.vault.vault import opened
from harvester.errors import HarvesterError, StorageError, UsageError

NAME = "wx00000000000000aa"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


async def refusal(url: str) -> HarvesterError:
    with pytest.raises(HarvesterError) as met:
        async with opened(url) as vault:
            await vault.put_refresh_token(NAME, "refresh")
    assert "canary" not in str(met.value)
    return met.value


@pytest.mark.parametrize(
    ("setting", "good", "bad", "todo"),
    [
        (b"appendonly", b"yes", b"no", "appendonly yes"),
        (b"maxmemory-policy", b"noeviction", b"allkeys-lru", "maxmemory-policy noeviction"),
    ],
)  # fmt: skip
async def test_a_server_that_may_drop_tokens_is_refused(
    redis: str, setting: bytes, good: bytes, bad: bytes, todo: str
) -> None:
    told(redis, b"CONFIG SET %s %s\r\n" % (setting, bad))
    try:
        met = await refusal(redis)
    finally:
        told(redis, b"CONFIG SET %s %s\r\n" % (setting, good))
    assert isinstance(met, UsageError)
    assert todo in str(met)


async def test_a_server_that_forbids_config_is_believed_what_info_says(
    redis: str,
) -> None:
    told(redis, b"ACL SETUSER limited on >canary ~* +@all -config\r\n")
    async with opened(redis.replace("//", "//limited:canary@")) as vault:
        await vault.put_refresh_token(NAME, "refresh")
        assert "does not say" in await vault.documents.store.advice()
        assert "canary" not in vault.documents.store.where


async def test_a_server_that_does_not_say_whether_it_is_durable_is_refused(
    redis: str,
) -> None:
    told(redis, b"ACL SETUSER blind on >canary ~* +@all -info\r\n")
    met = await refusal(redis.replace("//", "//blind:canary@"))
    assert isinstance(met, UsageError)
    assert "INFO" in str(met)


async def test_a_wrong_password_is_told_without_it(redis: str) -> None:
    met = await refusal(redis.replace("//", "//nobody:canary@"))
    assert isinstance(met, UsageError)
    assert "password" in str(met)


async def test_a_server_that_is_not_there_is_told_with_its_address() -> None:
    met = await refusal("redis://u:canary@127.0.0.1:9/0")
    assert isinstance(met, StorageError)
    assert "redis://127.0.0.1:9/0" in str(met)


@pytest.mark.parametrize("url", ["redis://h:port/0", "redis://h/0?socket_timeout=x"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert isinstance(await refusal(url), UsageError)


async def test_what_is_stored_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        async with opened(url) as vault:
            await vault.store(NAME, 0, minted("token", "refresh"))
    with redis_server(tmp_path) as url:
        async with opened(url) as vault:
            assert (await vault.read(NAME)).refresh_token == "refresh"


async def test_a_server_that_goes_away_is_told_and_found_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        vault = opened(url)
        await vault.put_refresh_token(NAME, "refresh")
    with pytest.raises(StorageError, match="connection"):
        await vault.read(NAME)
    await vault.aclose()


async def test_a_full_server_says_so_and_loses_nothing(redis: str) -> None:
    async with opened(redis) as vault:
        await vault.put_refresh_token(NAME, "refresh")
        told(redis, b"CONFIG SET maxmemory 1\r\n")
        try:
            with pytest.raises(StorageError, match="memory"):
                await vault.put_refresh_token(NAME, "newer")
        finally:
            told(redis, b"CONFIG SET maxmemory 0\r\n")
        assert (await vault.read(NAME)).refresh_token == "refresh"


async def test_leases_count_by_the_servers_clock(redis: str) -> None:
    """The machines' own clocks are a day apart."""
    behind, ahead = Clock(), Clock()
    ahead.now += 86_400
    async with opened(redis, clock=behind) as one, opened(redis, clock=ahead) as two:
        await one.forget(NAME)
        assert await one.lease(NAME, 20) is not None
        assert await two.lease(NAME, 20) is None
        ahead.now += 21
        assert await two.lease(NAME, 20) is not None


async def test_a_server_that_flushes_seldom_is_pointed_out(redis: str) -> None:
    async with opened(redis) as vault:
        store = vault.documents.store
        assert await store.advice() == ""
        told(redis, b"CONFIG SET appendfsync everysec\r\n")
        try:
            assert "power cut" in await store.advice()
        finally:
            told(redis, b"CONFIG SET appendfsync always\r\n")
