"""In which line of a TOML text each key stands: `accounts[2].appid` → 41.

tomllib reads values and keeps no places. This knows tables, arrays of tables and
`key = value`; a key inside an inline table has the line of the key that holds it.
"""

import re
from collections import Counter
from collections.abc import Mapping

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w.\-\"' ]+?)\s*=(?!=)")
_LONG_STRING = re.compile(r"\"\"\"|'''")


def of(text: str) -> dict[str, int]:
    """The line of each key and table."""
    found: dict[str, int] = {}
    tables: Counter[str] = Counter()
    table = ""
    inside_string = False
    for number, line in enumerate(text.splitlines(), 1):
        header = None if inside_string else _HEADER.fullmatch(line)
        key = None if inside_string else _KEY.match(line)
        if header:
            table = _table(header, tables)
            found.setdefault(table.rstrip("."), number)
        elif key:
            found.setdefault(table + _plain(key[1]), number)
        if len(_LONG_STRING.findall(line)) % 2:
            inside_string = not inside_string
    return found


def nearest(found: Mapping[str, int], place: str) -> int | None:
    """The line of this key, or of the closest table around it."""
    while place and place not in found:
        place = re.sub(r"(^|\.|\[)[^.\[]*$", "", place)
    return found.get(place)


def _table(header: re.Match[str], tables: Counter[str]) -> str:
    name = _plain(header[2])
    if header[1] == "[":
        return f"{name}."
    tables[name] += 1
    return f"{name}[{tables[name] - 1}]."


def _plain(key: str) -> str:
    return re.sub(r"\s*\.\s*", ".", key).replace('"', "").replace("'", "")
