"""The vault: what it has held it still holds, whoever else writes; on every store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from vaults import STORES, Clock, Place, minted, place, redis_server, url_of

from harvester.api.vault.credential import KEPT_REFRESH_TOKENS
from harvester.api.vault.records import Stored
from harvester.api.vault.vault import Vault

NAME = "wx00000000000000aa"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
async def where(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[Place]:
    async with place(url_of(request.param, request, tmp_path), clock) as made:
        yield made


@pytest.fixture
async def vault(where: Place) -> Vault:
    return await where.started()


@pytest.fixture
async def other(where: Place) -> Vault:
    """Another process's view of the same vault."""
    return await where.started()


async def test_nothing_is_known_at_first(vault: Vault) -> None:
    assert await vault.read(NAME) == Stored()
    assert await vault.previous(NAME) == ()


async def test_what_is_stored_is_there_for_everybody(
    vault: Vault, other: Vault
) -> None:
    stored = await vault.store(NAME, 0, minted("token", "refresh"))
    assert stored == await other.read(NAME)
    assert (stored.token, stored.refresh_token) == ("token", "refresh")
    assert stored.generation == 1


async def test_it_outlives_the_process(where: Place) -> None:
    async with where.open() as first:
        await first.store(NAME, 0, minted("token"))
    assert (await where.open().read(NAME)).token == "token"


async def test_an_older_result_never_overwrites_a_newer_one(
    vault: Vault, other: Vault
) -> None:
    slow = await vault.read(NAME)
    await other.store(NAME, slow.generation, minted("newer", "newer refresh"))
    kept = await vault.store(NAME, slow.generation, minted("older", "older refresh"))
    assert (kept.token, kept.refresh_token) == ("newer", "newer refresh")
    assert kept == await other.read(NAME)


async def test_a_refresh_token_that_came_too_late_is_still_known(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("newer", "newer refresh"))
    await vault.store(NAME, 0, minted("older", "older refresh"))
    assert await vault.previous(NAME) == ("older refresh", "newer refresh")


async def test_an_empty_refresh_token_keeps_the_old_one(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("first", "refresh"))
    stored = await vault.store(NAME, 1, minted("second", ""))
    assert (stored.token, stored.refresh_token) == ("second", "refresh")
    await vault.put_refresh_token(NAME, "")
    await vault.seed(NAME, "")
    assert (await vault.read(NAME)).refresh_token == "refresh"


async def test_an_empty_token_is_never_stored(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("token"))
    with pytest.raises(ValueError, match="empty"):
        await vault.store(NAME, 1, minted(""))
    assert (await vault.read(NAME)).token == "token"


async def test_the_last_refresh_tokens_are_kept_newest_first(vault: Vault) -> None:
    for number in range(9):
        await vault.store(NAME, number, minted("token", f"refresh {number}"))
    kept = await vault.previous(NAME)
    assert kept == tuple(f"refresh {n}" for n in range(8, 8 - KEPT_REFRESH_TOKENS, -1))


async def test_a_configured_refresh_token_seeds_once(vault: Vault) -> None:
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "configured"
    generation = (await vault.read(NAME)).generation
    await vault.store(NAME, generation, minted("token", "rotated"))
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "rotated"


async def test_a_changed_configured_value_seeds_again(vault: Vault) -> None:
    await vault.seed(NAME, "configured")
    await vault.store(NAME, 1, minted("token", "rotated"))
    await vault.seed(NAME, "configured anew")
    stored = await vault.read(NAME)
    assert stored.refresh_token == "configured anew"
    assert await vault.previous(NAME) == ("configured anew", "rotated", "configured")


async def test_the_vaults_own_refresh_token_wins_over_a_first_seed(
    vault: Vault,
) -> None:
    await vault.put_refresh_token(NAME, "authorised")
    await vault.seed(NAME, "configured")
    assert (await vault.read(NAME)).refresh_token == "authorised"
    assert "configured" in await vault.previous(NAME)


async def test_a_result_fetched_before_a_newer_authorisation_is_turned_away(
    vault: Vault, other: Vault
) -> None:
    leased = await vault.lease(NAME, 20)
    assert leased is not None
    await other.put_refresh_token(NAME, "authorised anew")
    kept = await vault.store(NAME, leased.generation, minted("token", "old"))
    assert (kept.token, kept.refresh_token) == ("", "authorised anew")


async def test_one_holder_at_a_time_has_the_lease(vault: Vault, other: Vault) -> None:
    assert await vault.lease(NAME, 20) is not None
    assert await other.lease(NAME, 20) is None
    assert await vault.lease(NAME, 20) is not None
    assert await other.lease("another", 20) is not None


async def test_a_lease_ends_with_the_result(vault: Vault, other: Vault) -> None:
    await vault.lease(NAME, 20)
    await vault.store(NAME, 0, minted("token"))
    leased = await other.lease(NAME, 20)
    assert leased is not None
    assert leased.token == "token"


async def test_a_lease_ends_when_it_is_given_back(vault: Vault, other: Vault) -> None:
    await vault.lease(NAME, 20)
    await other.release(NAME)
    assert await other.lease(NAME, 20) is None
    await vault.release(NAME)
    assert await other.lease(NAME, 20) is not None


async def test_a_dead_holders_lease_runs_out_and_its_late_result_is_turned_away(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    dead = await vault.lease(NAME, 20)
    assert dead is not None
    clock.now += 19.9
    assert await other.lease(NAME, 20) is None
    clock.now += 0.2
    taken = await other.lease(NAME, 20)
    assert taken is not None
    await other.store(NAME, taken.generation, minted("alive"))
    late = await vault.store(NAME, dead.generation, minted("dead"))
    assert late.token == "alive"


async def test_a_dead_holders_result_is_turned_away_before_the_next_one_has_come(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    """Its token is the older one: the next holder's request was sent later."""
    dead = await vault.lease(NAME, 20)
    assert dead is not None
    clock.now += 21
    taken = await other.lease(NAME, 20)
    assert taken is not None
    late = await vault.store(NAME, dead.generation, minted("dead", "dead refresh"))
    assert late.token == ""
    kept = await other.store(NAME, taken.generation, minted("alive"))
    assert kept.token == "alive"
    assert await vault.previous(NAME) == ("dead refresh",)


async def test_of_a_hundred_tasks_one_has_the_lease(where: Place) -> None:
    vaults = [await where.started() for _ in range(4)]
    leases = await asyncio.gather(
        *(vaults[number % 4].lease(NAME, 20) for number in range(100))
    )
    holders = {number % 4 for number, lease in enumerate(leases) if lease}
    assert len(holders) == 1


async def test_what_many_write_at_once_is_all_there(where: Place) -> None:
    vaults = [await where.started() for _ in range(3)]
    await asyncio.gather(
        *(
            vaults[number % 3].put_refresh_token(f"{NAME[:-2]}{number:02d}", "refresh")
            for number in range(60)
        ),
        *(
            vaults[number % 3].put_refresh_token(NAME, f"r{number}")
            for number in range(20)
        ),
    )
    assert (await vaults[0].read(NAME)).generation == 20
    assert len([one async for one in vaults[0].profiles()]) == 61


async def test_a_lease_from_the_future_does_not_hold(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    await vault.lease(NAME, 20)
    clock.now -= 86_400
    assert await other.lease(NAME, 20) is not None


def test_no_token_is_in_a_repr() -> None:
    assert "canary" not in repr(minted("canary", "canary"))
    assert "canary" not in repr(Stored(token="canary", refresh_token="canary"))
