"""The randomised test: 20 seeds, and proof that its oracle can complain.

More of them: `make torture SEEDS=1000`. A failure names the seed that plays it again.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torture_oracle as oracle
from torture import Trial, of_secrets, played, secret, told, trial
from torture_lake import Lake
from torture_plan import Round, planned

SEEDS = range(20)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_lake_equals_the_world(tmp_path: Path, seed: int) -> None:
    verdict = trial(seed, tmp_path)
    assert not verdict.complaints, told(verdict)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert planned(7) == planned(7)
    assert len({planned(seed) for seed in range(50)}) == 50


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial in which nothing went wrong."""
    plan = replace(
        planned(0),
        endpoints=("getusersummary", "getbizsummary", "getupstreammsghour"),
        access="own",
        buckets=3,
        unit="day",
        sandbox=(),
        faults=(),
        rounds=(Round(),),
        leap=0,
    )
    return played(plan, tmp_path_factory.mktemp("calm"))


def complaints(root: Path, calm: Trial) -> list[str]:
    """All that the oracle has to say of a lake."""
    lake = Lake(root)
    lake.read()
    world = calm.box.world
    return [
        *lake.complaints,
        *oracle.of_files(lake),
        *oracle.of_ledger(lake),
        *oracle.of_rows(lake, world, calm.runs),
        *oracle.of_completeness(lake, world, calm.plan, calm.runs),
        *oracle.of_leftovers(lake),
    ]


def test_of_a_run_in_which_nothing_goes_wrong_nothing_is_said(calm: Trial) -> None:
    assert calm.verdict.complaints == []
    assert calm.verdict.codes == [0, 0, 0]
    assert complaints(calm.lake, calm) == []


def a_file(root: Path) -> Path:
    """A data file with several rows."""
    return max(root.glob("data/endpoint=getusersummary/*/*/*.parquet"))


def newest(root: Path, table: str) -> Path:
    """The last segment of a table of the ledger."""
    return max(root.glob(f"ledger/{table}/*.parquet"))


def loses_a_file(root: Path) -> None:
    a_file(root).unlink()


def copies_a_part(root: Path) -> None:
    shutil.copy(a_file(root), a_file(root).with_name("part-7.parquet"))


def flips_a_bit(root: Path) -> None:
    data = bytearray(a_file(root).read_bytes())
    data[len(data) // 3] ^= 1
    a_file(root).write_bytes(data)


def tears_a_file(root: Path) -> None:
    a_file(root).write_bytes(a_file(root).read_bytes()[:100])


def drops_a_commit(root: Path) -> None:
    newest(root, "cells").unlink()


def drops_the_files_of_a_commit(root: Path) -> None:
    newest(root, "files").unlink()


def leaves_a_staged_file(root: Path) -> None:
    (root / "tmp" / "1-1").write_bytes(b"half")


def leaves_a_foreign_file(root: Path) -> None:
    a_file(root).with_suffix(".parquet.tmp").write_bytes(b"half")


def changes_a_figure(root: Path) -> None:
    more = pc.add(pq.ParquetFile(a_file(root)).read()["new_user"], 1)
    rewrite(a_file(root), "new_user", more)


def changes_an_account(root: Path) -> None:
    rows = pq.ParquetFile(a_file(root)).read()
    other = pa.array(["wx00000000000000a1"] * len(rows))
    rewrite(a_file(root), "account", other)


def changes_a_date(root: Path) -> None:
    day = pq.ParquetFile(a_file(root)).read()["ref_date"].cast(pa.int32())
    rewrite(a_file(root), "ref_date", pc.add(day, 1).cast(pa.int32()).cast(pa.date32()))


def calls_held_cells_empty(root: Path) -> None:
    entries = pq.ParquetFile(newest(root, "cells")).read()
    empty = pa.array(["empty"] * len(entries))
    rewrite(newest(root, "cells"), "outcome", empty)


def rewrite(path: Path, column: str, values: pa.Array) -> None:
    """Puts other values into a column of a file."""
    table = pq.ParquetFile(path).read()
    at = table.column_names.index(column)
    pq.write_table(table.set_column(at, column, values), path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (loses_a_file, {"file lost", "lost", "lie"}),
        (copies_a_part, {"file unknown to the ledger", "duplicated", "lie"}),
        (flips_a_bit, {"file changed"}),
        (tears_a_file, {"unreadable", "lost"}),
        (drops_a_commit, {"lost", "unexpected"}),
        (drops_the_files_of_a_commit, {"file unknown to the ledger"}),
        (leaves_a_staged_file, {"left behind"}),
        (leaves_a_foreign_file, {"foreign"}),
        (changes_a_figure, {"stale", "file changed"}),
        (changes_an_account, {"lost", "unexpected"}),
        (changes_a_date, {"misplaced", "lost"}),
        (calls_held_cells_empty, {"lie"}),
    ],
)
def test_the_oracle_complains_of_a_lake_that_was_damaged(
    tmp_path: Path, calm: Trial, damage: Callable[[Path], None], words: set[str]
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(calm.lake, lake)
    damage(lake)
    said = {complaint.partition(":")[0] for complaint in complaints(lake, calm)}
    assert words <= said


def test_the_oracle_complains_of_a_wrong_exit_code(calm: Trial) -> None:
    lake = Lake(calm.lake)
    for code in (1, 3, 4, 5, 6, 130):
        lied = replace(calm.runs[0], code=code)
        assert list(oracle.of_exit_code(lake, calm.plan, lied))
    assert not list(oracle.of_exit_code(lake, calm.plan, calm.runs[0]))


def test_the_oracle_complains_of_one_call_too_many(calm: Trial) -> None:
    first = calm.runs[0]
    more = replace(first, log=[*first.log, first.statistics[0]])
    assert not list(oracle.of_calls(calm.plan, calm.runs, 256))
    assert list(oracle.of_calls(calm.plan, [more, *calm.runs[1:]], 256))


def test_the_oracle_finds_a_secret_wherever_it_stands(
    tmp_path: Path, calm: Trial
) -> None:
    own = secret("own", calm.plan.accounts[0])
    (token, *_) = calm.box.platform.tokens._issued
    lake = tmp_path / "lake"
    shutil.copytree(calm.lake, lake)
    assert not list(of_secrets(calm.secrets(), calm.said, lake))
    assert list(of_secrets(calm.secrets(), ["", f"token={token}"], lake))
    (lake / "rejected" / "a.body").write_text(f'{{"errmsg": "{token[:12]}"}}')
    entries = pq.ParquetFile(newest(lake, "cells")).read()
    spoilt = pa.array([own] * len(entries))
    rewrite(newest(lake, "cells"), "message", spoilt)
    assert len(list(of_secrets(calm.secrets(), calm.said, lake))) == 2
