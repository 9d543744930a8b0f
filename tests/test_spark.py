"""The DDL that `views --spark` prints, run by a real Spark where there is one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from by_hand import KNOWN, LAYOUTS, ONE, TWO, followers, grown, lay, readers

from harvester.lake.layout import Layout
from harvester.lake.sql.query import statements
from harvester.lake.sql.views import Shelf

pyspark = pytest.importorskip("pyspark.sql", reason="needs the extra `spark`, and Java")


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    builder = pyspark.SparkSession.builder.master("local[1]")
    session = builder.config("spark.ui.enabled", "false").getOrCreate()
    yield session
    session.stop()


def sql(place: Shelf, *, spark: bool) -> list[str]:
    endpoints = KNOWN.endpoints.values()
    return list(statements(endpoints, KNOWN.labels, place, spark=spark))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cut", LAYOUTS, ids=lambda cut: f"{cut.buckets}-{cut.date}")
def test_spark_and_duckdb_give_the_same_rows(
    cut: Layout, tmp_path: Path, spark: Any
) -> None:
    place = Shelf(str(grown(tmp_path / "it's {a} [lake]", cut)), cut)
    lay(place, "getuserread", readers(ONE, "2024-12-01", {0: 3, 5: 1, 99999999: 4}))
    for account in (ONE, TWO):
        figures = {"2024-11-30": 10, "2024-12-01": 14, "2024-12-03": 20}
        lay(
            place,
            "getusercumulate",
            followers(account, figures),
            part=int(account == TWO),
        )
    for statement in "\n".join(sql(place, spark=True)).split(";\n"):
        if statement.strip():
            spark.sql(statement)
    with duckdb.connect() as connection:
        connection.execute("".join(sql(place, spark=False)))
        for name in KNOWN.endpoints:
            theirs = spark.table(name)
            ours = connection.execute(f'SELECT * FROM "{name}"')
            assert theirs.columns == [column for column, *_ in ours.description]
            rows = sorted(map(repr, map(tuple, theirs.collect())))
            assert rows == sorted(map(repr, ours.fetchall()))
