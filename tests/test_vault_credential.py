"""What may become of a credential, whatever happens to it and in whichever order."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from vaults import KEY

from harvester.api.vault import credential as rules
from harvester.api.vault.credential import Credential
from harvester.api.vault.records import Facts, Minted
from harvester.api.vault.sealing import Seals

Change = Callable[[Credential], Credential]

SEALS = Seals([KEY])
tokens = st.sampled_from(["", "a", "b", "c", "d"])
moments = st.integers(0, 50).map(float)
facts = st.builds(
    Facts,
    name=st.sampled_from(["", "brand", "mark"]),
    status=st.sampled_from([None, 1, 19]),
    permission_sets=st.sampled_from([None, frozenset[int](), frozenset({1, 7})]),
    auth_time=st.none() | st.integers(0, 50),
)


def results(token: st.SearchStrategy[str]) -> st.SearchStrategy[Minted]:
    return st.builds(
        Minted,
        token=token,
        learned_at=moments,
        expires_at=moments,
        refresh_token=tokens,
    )


@st.composite
def changes(draw: st.DrawFn) -> Change:
    kind = draw(st.integers(0, 7))
    text, at = draw(tokens), draw(moments)
    new, said = draw(results(st.sampled_from("xyz"))), draw(facts)
    stale = draw(st.integers(0, 2))
    return (
        lambda known: rules.seeded(known, text),
        lambda known: rules.leased(known, text or "h", at, 20) or known,
        lambda known: rules.released(known, text or "h"),
        lambda known: rules.minted(known, known.generation - stale, new),
        lambda known: rules.with_refresh_token(known, text),
        lambda known: rules.refilled(known, text),
        lambda known: rules.granted(known, new, frozenset({3}), at),
        lambda known: rules.learned(known, said, at),
    )[kind]


@given(st.lists(changes(), max_size=12))
def test_nothing_empty_overwrites_and_generations_and_moments_never_go_back(
    sequence: list[Change],
) -> None:
    known = Credential()
    for change in sequence:
        after = change(known)
        assert after.generation >= known.generation
        assert after.refresh_token or not known.refresh_token
        assert after.token or not known.token
        assert known.facts.keys() <= after.facts.keys()
        assert all(after.facts[name][1] >= at for name, (_, at) in known.facts.items())
        assert len(after.previous) <= rules.KEPT_REFRESH_TOKENS
        assert not after.refresh_token or after.refresh_token in after.previous
        assert len(set(after.previous)) == len(after.previous)
        if after.token != known.token:
            assert after.generation > known.generation
        known = after


@given(st.lists(changes(), max_size=12))
def test_what_is_written_is_what_is_read(sequence: list[Change]) -> None:
    known = Credential()
    for change in sequence:
        known = change(known)
    for seals in (SEALS, Seals()):
        assert rules.credential(rules.document(known, seals), seals) == known


@given(st.lists(changes(), max_size=12), results(st.just("late")))
def test_a_result_for_another_generation_changes_no_token(
    sequence: list[Change], late: Minted
) -> None:
    known = Credential()
    for change in sequence:
        known = change(known)
    after = rules.minted(known, known.generation - 1, late)
    assert (after.token, after.refresh_token) == (known.token, known.refresh_token)
    assert not late.refresh_token or after.previous[0] == late.refresh_token


@given(st.lists(changes(), max_size=12), moments)
def test_a_withdrawal_takes_the_token_and_nothing_else(
    sequence: list[Change], at: float
) -> None:
    known = Credential()
    for change in sequence:
        known = change(known)
    after = rules.with_standing(known, False, at)
    assert after.refresh_token == known.refresh_token
    assert after.previous == known.previous
    if after is not known:
        assert (after.token, after.facts["authorised"]) == ("", (False, at))
