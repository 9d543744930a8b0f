"""The vault: what is known of accounts, and what pushes bring; on every store."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from vaults import STORES, Clock, Place, minted, place, redis_server, url_of

from harvester.api.callback.contract import Code, Grant
from harvester.api.callback.contract import Vault as ReceiversVault
from harvester.api.vault.records import Facts, Profile, Ticket
from harvester.api.vault.vault import Vault

NAME = "wx00000000000000aa"
OTHER = "wx00000000000000bb"
PLATFORM = "wxffffffffffffffff"


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


async def profile(vault: Vault, appid: str = NAME) -> Profile:
    found = await vault.profile(appid)
    assert found is not None
    return found


def grant(
    token: str = "granted", refresh_token: str = "its refresh", *sets: int
) -> Grant:
    return Grant(
        appid=NAME,
        permission_sets=frozenset(sets),
        token=token,
        refresh_token=refresh_token,
        learned_at=1e6,
        expires_at=2e6,
    )


def code(
    value: str = "code", created_at: float = 1e6, until: float = 1e6 + 600
) -> Code:
    return Code(value=value, appid=NAME, created_at=created_at, until=until)


async def test_the_vault_is_what_the_receiver_of_pushes_asks_for(vault: Vault) -> None:
    receivers: ReceiversVault = vault
    assert await receivers.ticket_created_at(PLATFORM) == 0.0


# Facts


async def test_of_an_account_nothing_is_known_at_first(vault: Vault) -> None:
    assert await vault.profile(NAME) is None
    assert [one async for one in vault.profiles()] == []


async def test_facts_are_learned_each_with_its_moment(
    vault: Vault, other: Vault
) -> None:
    first = Facts(name="brand", verify_type=0, permission_sets=frozenset({1, 7}))
    await vault.learn({NAME: first}, 100)
    await vault.learn({NAME: Facts(status=1, service_type=2, mini_program=False)}, 200)
    found = await profile(other)
    assert found.facts == Facts(
        name="brand",
        verify_type=0,
        permission_sets=frozenset({1, 7}),
        status=1,
        service_type=2,
        mini_program=False,
    )
    assert found.learned["name"] == 100
    assert found.learned["status"] == 200


async def test_an_older_fact_never_overwrites_a_newer_one(vault: Vault) -> None:
    await vault.learn({NAME: Facts(name="new", status=1)}, 200)
    await vault.learn({NAME: Facts(name="old", verify_type=-1)}, 100)
    found = await profile(vault)
    assert (found.facts.name, found.facts.verify_type) == ("new", -1)


async def test_what_was_not_said_stays_known(vault: Vault) -> None:
    await vault.learn({NAME: Facts(name="brand", permission_sets=frozenset({1}))}, 100)
    await vault.learn({NAME: Facts()}, 200)
    await vault.learn({NAME: Facts(permission_sets=frozenset())}, 300)
    found = await profile(vault)
    assert found.facts.name == "brand"
    assert found.facts.permission_sets == frozenset()  # all were taken back


async def test_a_page_of_accounts_is_learned_at_once_and_nobody_is_deleted(
    vault: Vault, other: Vault
) -> None:
    names = [f"wx{number:016x}" for number in range(700)]
    await vault.learn({one: Facts(auth_time=1) for one in names}, 100)
    await vault.learn({one: Facts(auth_time=1) for one in names[:10]}, 200)
    found = [one async for one in other.profiles()]
    assert sorted(one.appid for one in found) == names
    assert sum(one.learned["auth_time"] == 200 for one in found) == 10


async def test_a_profile_says_whether_there_are_tokens_and_shows_none(
    vault: Vault,
) -> None:
    await vault.store(NAME, 0, minted("canary token", "canary refresh"))
    found = await profile(vault)
    assert (found.has_token, found.has_refresh_token) == (True, True)
    assert found.token_expires_at == 2e6
    assert "canary" not in repr(found)


async def test_the_platforms_own_entries_are_no_accounts(vault: Vault) -> None:
    await vault.store(f"platform:{PLATFORM}", 0, minted("component"))
    await vault.put_ticket(PLATFORM, "ticket", 100)
    await vault.put_code(PLATFORM, code(), 60)
    assert [one async for one in vault.profiles()] == []


# Refresh tokens of the list


async def test_the_lists_refresh_token_counts_where_none_is_known(vault: Vault) -> None:
    await vault.put_refresh_token(OTHER, "newest")
    await vault.refill({NAME: "listed", OTHER: "listed"})
    assert (await vault.read(NAME)).refresh_token == "listed"
    assert (await vault.read(OTHER)).refresh_token == "newest"
    assert await vault.previous(OTHER) == ("listed", "newest")
    await vault.refill({OTHER: "newest"})
    assert await vault.previous(OTHER) == ("listed", "newest")


async def test_a_refill_does_not_turn_a_refresh_under_way_away(vault: Vault) -> None:
    leased = await vault.lease(NAME, 20)
    assert leased is not None
    await vault.refill({NAME: "listed"})
    stored = await vault.store(NAME, leased.generation, minted("token", ""))
    assert (stored.token, stored.refresh_token) == ("token", "listed")


# Authorisations


async def test_a_grant_replaces_token_refresh_token_and_sets_in_one_step(
    vault: Vault, other: Vault
) -> None:
    await vault.store(NAME, 0, minted("old", "old refresh"))
    await vault.put_grant(PLATFORM, grant("granted", "its refresh", 1, 7), 500)
    stored, found = await other.read(NAME), await profile(other)
    assert (stored.token, stored.refresh_token) == ("granted", "its refresh")
    assert found.facts.permission_sets == {1, 7}
    assert found.authorised is True
    assert found.learned["authorised"] == found.learned["permission_sets"] == 500
    assert await vault.previous(NAME) == ("its refresh", "old refresh")


async def test_a_refresh_under_way_cannot_overwrite_a_grant(
    vault: Vault, other: Vault
) -> None:
    leased = await other.lease(NAME, 20)
    assert leased is not None
    await vault.put_grant(PLATFORM, grant(), 500)
    late = await other.store(NAME, leased.generation, minted("dead", "dead refresh"))
    assert (late.token, late.refresh_token) == ("granted", "its refresh")


async def test_a_grant_without_tokens_keeps_the_known_ones(vault: Vault) -> None:
    await vault.store(NAME, 0, minted("token", "refresh"))
    await vault.put_grant(PLATFORM, grant("", "", 3), 500)
    stored = await vault.read(NAME)
    assert (stored.token, stored.refresh_token) == ("token", "refresh")
    assert (await profile(vault)).facts.permission_sets == {3}


async def test_an_older_grant_changes_nothing(vault: Vault) -> None:
    await vault.put_grant(PLATFORM, grant("new", "new refresh", 1), 500)
    await vault.put_grant(PLATFORM, grant("old", "old refresh", 2), 400)
    stored = await vault.read(NAME)
    assert (stored.token, stored.refresh_token) == ("new", "new refresh")
    assert (await profile(vault)).facts.permission_sets == {1}


async def test_a_withdrawal_keeps_the_row_and_drops_the_token(
    vault: Vault, other: Vault
) -> None:
    await vault.put_grant(PLATFORM, grant("granted", "its refresh", 1), 500)
    leased = await other.lease(NAME, 20)
    assert leased is not None
    await vault.put_standing(PLATFORM, NAME, authorised=False, at=600)
    stored, found = await vault.read(NAME), await profile(vault)
    assert (stored.token, stored.refresh_token) == ("", "its refresh")
    assert (found.authorised, found.facts.permission_sets) == (False, {1})
    late = await other.store(NAME, leased.generation, minted("late"))
    assert late.token == ""


async def test_a_withdrawal_from_before_the_grant_changes_nothing(vault: Vault) -> None:
    await vault.put_grant(PLATFORM, grant(), 500)
    await vault.put_standing(PLATFORM, NAME, authorised=False, at=499)
    assert (await vault.read(NAME)).token == "granted"
    assert (await profile(vault)).authorised is True


async def test_a_grant_from_before_the_withdrawal_changes_nothing(vault: Vault) -> None:
    await vault.put_standing(PLATFORM, NAME, authorised=False, at=600)
    await vault.put_grant(PLATFORM, grant(), 500)
    assert (await vault.read(NAME)).token == ""
    assert (await profile(vault)).authorised is False


@pytest.mark.parametrize(("auth_time", "authorised"), [(601, True), (600, False)])
async def test_a_newer_auth_time_ends_a_withdrawal(
    vault: Vault, auth_time: int, authorised: bool
) -> None:
    await vault.put_standing(PLATFORM, NAME, authorised=False, at=600)
    await vault.learn({NAME: Facts(auth_time=auth_time)}, 700)
    assert (await profile(vault)).authorised is authorised


async def test_a_forgotten_account_is_gone_and_no_other(vault: Vault) -> None:
    await vault.put_refresh_token(NAME, "refresh")
    await vault.put_refresh_token(OTHER, "refresh")
    assert await vault.forget(NAME) is True
    assert await vault.forget(NAME) is False
    assert await vault.profile(NAME) is None
    assert await vault.previous(NAME) == ()
    assert (await vault.read(OTHER)).refresh_token == "refresh"


# Tickets


async def test_an_older_or_empty_ticket_never_overwrites_a_newer_one(
    vault: Vault, other: Vault
) -> None:
    assert await vault.ticket(PLATFORM) == Ticket()
    await vault.put_ticket(PLATFORM, "first", 100)
    await vault.put_ticket(PLATFORM, "third", 300)
    await other.put_ticket(PLATFORM, "second", 200)
    await other.put_ticket(PLATFORM, "", 400)
    assert await vault.ticket(PLATFORM) == Ticket(value="third", created_at=300)
    assert await vault.ticket_created_at(PLATFORM) == 300
    assert "third" not in repr(await vault.ticket(PLATFORM))


async def test_a_ticket_put_in_by_hand_is_of_now(vault: Vault, clock: Clock) -> None:
    await vault.put_ticket(PLATFORM, "pushed", clock.now - 1)
    await vault.put_ticket(PLATFORM, "by hand")
    assert await vault.ticket(PLATFORM) == Ticket(value="by hand", created_at=clock.now)


async def test_one_of_all_processes_is_to_ask_for_pushes(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    assert await vault.ask_for_pushes(PLATFORM, 3600) == 0
    clock.now += 5
    assert await other.ask_for_pushes(PLATFORM, 3600) == pytest.approx(5, abs=2)
    clock.now += 3600
    assert await other.ask_for_pushes(PLATFORM, 3600) == 0


# Codes


async def test_a_code_is_taken_in_once(vault: Vault, other: Vault) -> None:
    assert await vault.put_code(PLATFORM, code(), 60) is True
    assert await other.put_code(PLATFORM, code(), 60) is False
    await vault.close_code(PLATFORM, code())
    assert await other.put_code(PLATFORM, code(), 60) is False


async def test_codes_that_nobody_works_at_are_claimed_the_oldest_first(
    vault: Vault, other: Vault, clock: Clock
) -> None:
    for number in (3, 1, 2):
        await vault.put_code(PLATFORM, code(f"code {number}", 1e6 + number), 60)
    assert await other.claim_codes(PLATFORM, 60, 10) == []
    clock.now += 61
    claimed = await other.claim_codes(PLATFORM, 60, 2)
    assert claimed == [code("code 1", 1e6 + 1), code("code 2", 1e6 + 2)]
    assert await vault.claim_codes(PLATFORM, 60, 2) == [code("code 3", 1e6 + 3)]
    clock.now += 61
    await vault.close_code(PLATFORM, code("code 1"))
    await vault.close_code(PLATFORM, code("unknown"))
    assert len(await vault.claim_codes(PLATFORM, 60, 10)) == 2


async def test_codes_do_not_grow_for_ever(vault: Vault, clock: Clock) -> None:
    await vault.put_code(PLATFORM, code(), 60)
    clock.now += 600 + 86_300
    assert await vault.put_code(PLATFORM, code(), 60) is False
    clock.now += 200
    await vault.put_code(PLATFORM, code("another", 1e6, 3e6), 60)
    assert await vault.put_code(PLATFORM, code(), 60) is True
