"""The SQL that compares rows with the ledger: text alone, for `comparison`.

`files`, `broken` and `entries` are tables (`snapshot.ENTRIES`). `found` has rows by
file, account and day; `cells` by account and day; `said` which entry counts for each
account and day, and whether a broken file leaves it unclear. Days are counted from
1970-01-01.
"""

from harvester.dates import Granularity

LABEL = {
    Granularity.WEEK: "(day + 3) % 7 = 0",
    Granularity.MONTH: "day(DATE '1970-01-01' + day) = 1",
}
"""Which days of an entry are cells, where not all are: Mondays, firsts of months."""

NOTHING_FOUND = """
CREATE OR REPLACE TEMP TABLE found (number INTEGER, account VARCHAR, day INTEGER, rows BIGINT)
"""

FOUND = """
INSERT INTO found
SELECT number, account, day, count(*) FROM {read} GROUP BY number, account, day
"""

CELLS = """
CREATE OR REPLACE TEMP TABLE cells AS
SELECT account, day, CAST(sum(rows) AS BIGINT) AS rows FROM found
WHERE day BETWEEN {first} AND {last} AND {wanted}
GROUP BY account, day
"""

SAID = """
CREATE OR REPLACE TEMP TABLE said AS
SELECT account, day, max(id) AS id, count(broken.place) > 0 AS unclear
FROM (
  SELECT id, account, place, CAST(unnest(range(first, last + 1)) AS INTEGER) AS day
  FROM entries
) AS spread LEFT JOIN broken
  ON broken.place = spread.place AND day BETWEEN broken.first AND broken.last
WHERE day BETWEEN {first} AND {last} AND {label}
GROUP BY account, day
"""

MISPLACED = """
SELECT number, account, min(day), max(day), CAST(sum(found.rows) AS BIGINT)
FROM found JOIN files USING (number)
WHERE account IS NULL OR day IS NULL OR day NOT BETWEEN first AND last
GROUP BY number, account ORDER BY ALL
"""

DOUBLED = """
SELECT account, day, list(number ORDER BY number) FROM found
GROUP BY account, day HAVING count(*) > 1 ORDER BY ALL
"""

LOST = """
SELECT account, min(day), max(day), count(*)
FROM (
  SELECT account, day, day - row_number() OVER (PARTITION BY account ORDER BY day) AS run
  FROM said JOIN entries USING (id, account) ANTI JOIN cells USING (account, day)
  WHERE {which}
)
GROUP BY account, run ORDER BY ALL
"""

UNKNOWN = """
SELECT account, day, cells.rows, outcome
FROM cells LEFT JOIN (FROM said JOIN entries USING (id, account)) USING (account, day)
WHERE outcome IS NULL OR outcome = 'empty'
ORDER BY ALL
"""

COUNT = """
SELECT account, first, last, entries.rows, CAST(sum(coalesce(cells.rows, 0)) AS BIGINT) AS there
FROM said JOIN entries USING (id, account) LEFT JOIN cells USING (account, day)
WHERE outcome IN ('held', 'delayed')
GROUP BY id, account, first, last, outcome, entries.cells, entries.rows
HAVING there <> entries.rows AND count(*) = entries.cells AND NOT bool_or(unclear)
  AND (outcome <> 'held' OR count(cells.rows) = count(*))
ORDER BY ALL
"""

REPEATED = """
SELECT account, {key} FROM {read} GROUP BY ALL HAVING count(*) > 1 LIMIT 1
"""

ALIKE = """
SELECT number, account, day, count(*) AS rows, count(DISTINCT hash({row})) AS kinds
FROM {read} GROUP BY number, account, day, {key} HAVING count(*) > 1 ORDER BY ALL
"""

HELD = (
    "SELECT count(*) FROM said JOIN entries USING (id, account) WHERE outcome = 'held'"
)

WHO = "SELECT DISTINCT number, account FROM found ORDER BY ALL"

HELD_CELLS = "outcome = 'held' AND NOT unclear"

IN_BROKEN_FILES = "outcome IN ('held', 'delayed') AND unclear"

WHOLE = "SELECT max(hash({row})) FROM {read}"
