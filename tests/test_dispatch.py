"""The order of calls: fair, paced, scouted, group after group."""

from collections import deque
from collections.abc import Iterator

from harvester.accounts import Account
from harvester.catalogue.endpoint import Endpoint, Field, Status
from harvester.dates import Granularity
from harvester.dispatch import Dispatch
from harvester.lanes import Lane, Work
from harvester.plan import Call

DAY = 738000


def endpoint(id: str, *, set: int = 2, status: Status = Status.ACTIVE) -> Endpoint:
    return Endpoint(
        id=id,
        family="user",
        path=f"/datacube/{id}",
        en=id,
        span=1,
        safe_span=1,
        granularity=Granularity.DAY,
        earliest=DAY,
        permission_set=set,
        status=status,
        key=("ref_date",),
        fields=(Field(name="ref_date", at="list[].ref_date", type="date32"),),
    )


USERS, READS, OLD = (
    endpoint("users"),
    endpoint("reads", set=7),
    endpoint("old", set=7, status=Status.RETIRED),
)


def work(
    appid: str,
    *endpoints: Endpoint,
    calls: int = 3,
    group: str = "g",
    interval: float = 0.0,
) -> Work:
    lanes = deque(Lane(appid, ep, daily(appid, ep, calls)) for ep in endpoints)
    return Work(Account(appid=appid), group, interval, lanes)


def daily(appid: str, endpoint: Endpoint, calls: int) -> Iterator[Call]:
    for day in range(DAY, DAY + calls):
        yield Call(appid, endpoint, day, day, ((day, day),))


def dispatch(*works: Work, in_flight: int = 4, active: int = 100) -> Dispatch:
    return Dispatch(iter(works), in_flight=in_flight, active=active)


def drain(dealer: Dispatch, now: float = 0.0) -> list[Call]:
    """Asks and answers until nothing is left."""
    asked = []
    while (call := dealer.take(now)) is not None:
        asked.append(call)
        dealer.finish(call, answered=True, now=now)
    return asked


def test_every_call_is_dealt_exactly_once() -> None:
    dealer = dispatch(work("a", USERS, READS), work("b", USERS, calls=5))
    asked = drain(dealer)
    assert len(asked) == len(set(asked)) == 11
    assert dealer.finished


def test_until_a_permission_set_has_an_answer_one_call_of_it_is_under_way() -> None:
    other = endpoint("other", set=2)
    dealer = dispatch(work("a", USERS, other, READS))
    started = [dealer.take(0), dealer.take(0), dealer.take(0)]
    assert [call and call.endpoint.id for call in started] == ["users", "reads", None]
    assert started[0] is not None
    dealer.finish(started[0], answered=True, now=0)
    following = [dealer.take(0), dealer.take(0), dealer.take(0)]
    ids = [call.endpoint.id for call in following if call is not None]
    assert sorted(ids) == ["other", "users", "users"]


def test_a_refused_scout_lets_the_next_scout_go() -> None:
    dealer = dispatch(work("a", USERS, calls=2))
    first = dealer.take(0)
    assert first is not None
    assert dealer.take(0) is None
    dealer.finish(first, answered=False, now=0)
    second = dealer.take(0)
    assert second is not None
    assert second.first == DAY + 1


def test_an_account_never_exceeds_its_calls_in_flight() -> None:
    dealer = dispatch(work("a", USERS, calls=20), in_flight=4)
    scout = dealer.take(0)
    assert scout is not None
    dealer.finish(scout, answered=True, now=0)
    started = [dealer.take(0) for _ in range(10)]
    assert sum(call is not None for call in started) == 4


def test_calls_of_one_account_start_an_interval_apart() -> None:
    dealer = dispatch(work("a", USERS, calls=4, interval=0.1))
    now, starts = 0.0, []
    while not dealer.finished:
        call = dealer.take(now)
        if call is None:
            upcoming = dealer.next_at()
            if upcoming is None:
                break
            now = upcoming
            continue
        starts.append(now)
        dealer.finish(call, answered=True, now=now)
    assert [round(start, 3) for start in starts] == [0.0, 0.1, 0.2, 0.3]


def test_a_slow_account_holds_up_nobody_else() -> None:
    dealer = dispatch(work("slow", USERS, calls=9), work("quick", USERS, calls=9))
    slow = dealer.take(0)
    assert slow is not None
    assert slow.appid == "slow"
    assert [call.appid for call in drain(dealer)] == ["quick"] * 9
    assert not dealer.finished


def test_a_paused_account_waits_and_the_others_go_on() -> None:
    dealer = dispatch(work("a", USERS, calls=2), work("b", USERS, calls=2))
    first = dealer.take(0)
    assert first is not None
    dealer.put_back(first, first)
    dealer.pause("a", 60)
    dealer.finish(first, answered=False, now=0)
    assert [call.appid for call in drain(dealer)] == ["b", "b"]
    assert dealer.next_at() == 60
    assert [call.first for call in drain(dealer, now=60)] == [DAY, DAY + 1]
    assert dealer.finished


def test_the_last_call_can_be_put_back() -> None:
    dealer = dispatch(work("a", USERS, calls=1))
    only = dealer.take(0)
    assert only is not None
    dealer.put_back(only, only)
    dealer.finish(only, answered=False, now=0)
    assert drain(dealer) == [only]


def test_closing_a_permission_set_returns_the_days_that_are_left() -> None:
    dealer = dispatch(work("a", READS, USERS, calls=3))
    first = dealer.take(0)
    assert first is not None
    shut = dealer.close("a", lambda endpoint: endpoint.permission_set == 7)
    assert [lane.rest() for lane in shut] == [((DAY + 1, DAY + 2),)]
    dealer.finish(first, answered=False, now=0)
    assert {call.endpoint.id for call in drain(dealer)} == {"users"}


def test_three_accounts_probe_a_retired_endpoint_and_the_others_wait() -> None:
    dealer = dispatch(*(work(f"a{n}", OLD) for n in range(6)))
    probes = [dealer.take(0) for _ in range(6)]
    assert sum(call is not None for call in probes) == 3
    closed = []
    for call in probes[:3]:
        assert call is not None
        closed.append({appid for appid, _ in dealer.retired(call)})
        dealer.finish(call, answered=False, now=0)
    assert closed[:2] == [{"a0"}, {"a1"}]
    assert closed[2] >= {"a2", "a3"}
    assert dealer.gone_for_all(OLD)


def test_a_retired_endpoint_that_answers_somebody_stays_open_for_the_others() -> None:
    dealer = dispatch(*(work(f"a{n}", OLD, calls=1) for n in range(6)))
    lucky = dealer.take(0)
    assert lucky is not None
    dealer.finish(lucky, answered=True, now=0)
    rest = []
    while (call := dealer.take(0)) is not None:
        rest.append(call.appid)
        dealer.retired(call)
        dealer.finish(call, answered=False, now=0)
    assert rest == ["a1", "a2", "a3", "a4", "a5"]
    assert not dealer.gone_for_all(OLD)


def test_a_group_ends_with_its_last_account_and_not_before() -> None:
    dealer = dispatch(
        work("a", USERS, calls=1, group="g1"),
        work("b", USERS, calls=1, group="g1"),
        work("c", USERS, calls=1, group="g2"),
    )
    first, second, third = dealer.take(0), dealer.take(0), dealer.take(0)
    assert first is not None
    assert second is not None
    assert third is not None
    dealer.finish(third, answered=True, now=0)
    assert dealer.take(0) is None
    assert dealer.finished_groups() == ["g2"]
    dealer.finish(first, answered=True, now=0)
    dealer.finish(second, answered=True, now=0)
    assert dealer.take(0) is None
    assert dealer.finished_groups() == ["g1"]
    assert dealer.finished


def test_the_second_phase_of_an_account_waits_for_its_first() -> None:
    dealer = dispatch(
        work("a", USERS, calls=1, group="fresh"),
        work("a", READS, calls=2, group="backfill"),
    )
    first = dealer.take(0)
    assert first is not None
    assert dealer.take(0) is None
    dealer.finish(first, answered=True, now=0)
    assert [call.endpoint.id for call in drain(dealer)] == ["reads", "reads"]
    assert dealer.finished_groups() == ["fresh", "backfill"]


def test_after_a_stop_nothing_starts_and_what_is_under_way_may_finish() -> None:
    dealer = dispatch(work("a", USERS), work("b", USERS))
    first = dealer.take(0)
    assert first is not None
    dealer.stop()
    assert dealer.take(0) is None
    assert not dealer.finished
    dealer.finish(first, answered=True, now=0)
    dealer.take(0)
    assert dealer.finished


def test_only_so_many_accounts_are_held_at_once() -> None:
    taken = []

    def works() -> Iterator[Work]:
        for number in range(1000):
            taken.append(number)
            yield work(f"a{number}", USERS, calls=1)

    dealer = Dispatch(works(), in_flight=4, active=10)
    for _ in range(5):
        dealer.take(0)
    assert len(taken) <= 10
    while dealer.take(0) is not None:
        pass
    assert len(taken) == 10


def test_what_is_closed_stays_closed_in_the_accounts_second_phase() -> None:
    dealer = dispatch(
        work("a", OLD, USERS, calls=2, group="fresh"),
        work("a", OLD, USERS, calls=2, group="backfill"),
    )
    first, second = dealer.take(0), dealer.take(0)
    assert first is not None
    assert second is not None
    assert dealer.take(0) is None
    assert len(dealer.retired(first)) == 2
    dealer.finish(first, answered=False, now=0)
    dealer.finish(second, answered=True, now=0)
    assert {call.endpoint.id for call in drain(dealer)} == {"users"}
    assert dealer.finished


def test_an_endpoint_that_nobody_probes_can_always_be_probed() -> None:
    dealer = dispatch(*(work(f"a{n}", OLD, calls=1) for n in range(9)), active=1)
    for _ in range(9):
        call = dealer.take(0)
        assert call is not None
        dealer.retired(call)
        dealer.finish(call, answered=False, now=0)
    assert dealer.take(0) is None
    assert dealer.finished
