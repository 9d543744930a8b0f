"""The named faults, as data: what each does, where, and how."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from harvester.sandbox import alterations as alter
from harvester.sandbox import delivery as send
from harvester.sandbox import misdelivery as misdeliver
from harvester.sandbox.sealing import Draft

STATISTICS = ("get*",)
"""Globs over the names of calls. Only the statistics' names begin with `get`."""

SECRETS = ("stable_token", "token", "api_component_token")
TOKENS = (
    "stable_token",
    "token",
    "token_server",
    "api_component_token",
    "api_authorizer_token",
)
AUTHORIZER = ("api_authorizer_token",)
COMPONENT = ("api_*",)
WITH_COMPONENT_TOKEN = (
    "api_authorizer_token",
    "api_query_auth",
    "api_get_*",
    "api_create_preauthcode",
)
CODES = ("api_query_auth",)
PUSHES = ("push_*",)

ELSEWHERE = "{elsewhere}"
"""Stands for the sandbox's own address, written so that it is another origin."""

CARRIED = "{token}"
"""Stands for the access token that the call carried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to misbehave. Of the last seven fields, those that are set take part."""

    name: str
    does: str
    where: tuple[str, ...] = STATISTICS
    """The calls it meets unless its text names others."""

    value: str = ""
    """What `name=value` stands for when it is left out."""

    code: int | None = None
    """The refusal in place of the answer; `value` overrides it."""

    message: str = ""
    wide_only: bool = False
    """Meets only windows of more than one day."""

    kills_token: bool = False
    once: bool = False
    """Meets each account once, unless its text says how often."""

    misdeliver: Callable[[Draft, str], None] | None = None
    """What goes wrong with a push; such a fault meets pushes alone."""

    alter: Callable[[dict[str, Any], str], bool] | None = None
    spell: Callable[[bytes, str], bytes | None] | None = None
    dress: Callable[[send.Reply, str], send.Reply] | None = None
    manner: (
        Callable[[web.Request, send.Reply, str], Awaitable[web.StreamResponse]] | None
    ) = None


def _refusals() -> tuple[Fault, ...]:
    everywhere = ("get*", "stable_token", "token", "api_authorizer_token")
    return (
        Fault(name="busy", code=-1, does="-1, system busy"),
        Fault(name="expired-token", code=42001, kills_token=True, once=True, does="42001: the token dies; each account once"),
        Fault(name="rejected-token", code=40001, does="40001, whatever the token"),
        Fault(name="quota", code=45009, does="45009, the day's quota is used up"),
        Fault(name="minute-quota", code=45011, does="45011, the minute's quota is used up"),
        Fault(name="token-quota", code=45009, where=(*AUTHORIZER, "api_component_token"), does="45009 on the platform's token calls"),
        Fault(name="revoked", code=61003, where=("get*", *AUTHORIZER), does="61003, the account withdrew its authorisation"),
        Fault(name="denied-set", code=61007, does="61007, the permission set is not granted"),
        Fault(name="denied", code=48001, does="48001, the account may not use this statistic"),
        Fault(name="frozen", code=50002, where=everywhere, does="50002, the account is frozen"),
        Fault(name="forbidden", code=48004, does="48004, forbidden as a punishment"),
        Fault(name="punished", code=50004, where=everywhere, does="50004, the account may not use tokens"),
        Fault(name="not-ready", code=61503, does="61503, the figures are not ready"),
        Fault(name="narrow", code=61501, wide_only=True, does="61501 for a window of more than one day"),
        Fault(name="unavailable", code=61501, does="61501 for every window"),
        Fault(name="retired", code=47009, does="47009, the statistic is offline"),
        Fault(name="wrong-secret", code=40125, where=SECRETS, does="40125, the secret is wrong"),
        Fault(name="bad-ip", code=61004, where=("get*", *COMPONENT), does="61004, the address is not on the platform's list"),
        Fault(name="bad-own-ip", code=40164, where=("stable_token", "token"), does="40164, the address is not on the account's list"),
        Fault(name="bad-ticket", code=61006, where=("api_component_token",), does="61006, the ticket is wrong"),
        Fault(name="expired-ticket", code=61005, where=("api_component_token",), does="61005, the ticket is older than 12 hours"),
        Fault(name="expired-component-token", code=42001, kills_token=True, where=WITH_COMPONENT_TOKEN, once=True, does="42001: the platform's token dies; each account once"),
        Fault(name="bad-code", code=61009, where=CODES, does="61009, the authorisation code is wrong"),
        Fault(name="expired-code", code=61010, where=CODES, does="61010, the authorisation code is too old"),
        Fault(name="bad-refresh-token", code=61023, where=AUTHORIZER, does="61023, the refresh token is wrong"),
        Fault(name="unknown-code", code=99999, does="an error code that no document knows"),
        Fault(name="string-code", code=-1, value="-1", spell=alter.text_code, does="the error code `value`, written as text"),
        Fault(name="echo-token", code=99999, message=f"cannot serve access_token {CARRIED}", does="an error text that repeats the access token"),
    )  # fmt: skip


def _wrong_answers() -> tuple[Fault, ...]:
    return (
        Fault(name="delayed", alter=alter.delayed, does="`is_delay` is true; `=text` writes it as text"),
        Fault(name="empty-list", alter=alter.empty_list, does="a list without rows"),
        Fault(name="no-list", alter=alter.no_list, does="errcode 0, and no list at all"),
        Fault(name="zero-code", alter=alter.zero_code, does="the rows, and an errcode of 0 beside them"),
        Fault(name="outside", value="2019-02-28", alter=alter.outside, does="one more row, dated `value`"),
        Fault(name="only-outside", value="2019-02-28", alter=alter.only_outside, does="every row dated `value`"),
        Fault(name="duplicate-rows", alter=alter.duplicate_rows, does="the last row twice"),
        Fault(name="extra-field", value="sandbox_extra", alter=alter.extra_field, does="an unknown field `value` in every row"),
        Fault(name="missing-field", alter=alter.missing_field, does="the first row lacks the field `value`, or its last figure"),
        Fault(name="null-field", alter=alter.null_field, does="the same field is null"),
        Fault(name="fraction", alter=alter.fraction, does="the same field is 1.5"),
        Fault(name="boolean", alter=alter.boolean, does="the same field is true"),
        Fault(name="huge-integer", alter=alter.huge_integer, does="the same field is 2^64"),
        Fault(name="text-numbers", alter=alter.text_numbers, does="every whole number is text"),
        Fault(name="without-refresh-token", where=AUTHORIZER, alter=alter.without_refresh_token, does="an account's token with an empty refresh token"),
        Fault(name="without-tokens", where=CODES, alter=alter.without_tokens, does="a grant without any token: the account granted no call"),
        Fault(name="empty-token", where=TOKENS, alter=alter.empty_token, does="a success with an empty token"),
        Fault(name="nan", spell=alter.nan, does="NaN in place of the first number"),
        Fault(name="duplicate-keys", spell=alter.duplicate_keys, does="`ref_date` twice in the first row"),
        Fault(name="control-characters", spell=alter.control_characters, does="raw control characters in the first title"),
        Fault(name="bad-utf8", spell=alter.bad_utf8, does="bytes that are no UTF-8 in the first title"),
        Fault(name="lone-surrogate", spell=alter.lone_surrogate, does="half an emoji in the first title"),
        Fault(name="bom", spell=alter.bom, does="a byte order mark in front of the JSON"),
        Fault(name="cut", spell=alter.cut, does="half the JSON, with the length of the half"),
        Fault(name="array", spell=alter.array, does="an array in place of the object"),
        Fault(name="deep", value="2000", spell=alter.deep, does="arrays nested `value` deep"),
    )  # fmt: skip


def _wrong_travels() -> tuple[Fault, ...]:
    return (
        Fault(name="html", dress=send.html, does="status 200 and a page"),
        Fault(name="empty-body", dress=send.empty_body, does="status 200 and nothing"),
        Fault(name="http-500", value="500", dress=send.bad_status, does="status 500 and a page"),
        Fault(name="http-502", value="502", dress=send.bad_status, does="status 502 and a page"),
        Fault(name="http-503", value="1", dress=send.unavailable, does="status 503, to be retried after `value` seconds"),
        Fault(name="http-429", value="1", dress=send.too_many, does="status 429, to be retried after `value` seconds"),
        Fault(name="http-404", dress=send.not_found, does="status 404 and nothing"),
        Fault(name="redirect", value=ELSEWHERE, dress=send.redirect, does="status 307 to `value`, else to this sandbox under another name (`/sandbox/stats` counts who follows)"),
        Fault(name="text-plain", dress=send.text_plain, does="the right JSON as text/plain"),
        Fault(name="set-cookie", value="1", dress=send.set_cookie, does="a cookie (`/sandbox/stats` counts calls that bring one back)"),
        Fault(name="skewed-date", value="3.0", dress=send.skewed_date, does="a Date header `value` hours ahead"),
        Fault(name="gzip-bomb", value="64", dress=send.gzip_bomb, does="a small body that unpacks to `value` megabytes"),
        Fault(name="huge-body", value="64", manner=send.huge_body, does="`value` megabytes of white space before the JSON"),
        Fault(name="reset", manner=send.reset, does="the connection is reset in the middle of the body"),
        Fault(name="truncated", manner=send.truncated, does="the connection ends before the promised length"),
        Fault(name="hang-up", manner=send.hang_up, does="the call is read, and the connection ends"),
        Fault(name="junk", manner=send.junk, does="a status line that is none"),
        Fault(name="closing", manner=send.closing, does="a good answer, then the connection ends without `Connection: close`"),
        Fault(name="dribble", value="0.3", manner=send.dribble, does="a byte every `value` seconds"),
        Fault(name="silent", manner=send.silent, does="no answer until the client goes"),
        Fault(name="slow", value="2.0", manner=send.slow, does="a good answer after `value` seconds"),
        Fault(name="late", value="0.005", manner=send.late, does="a good answer, and the same once more `value` seconds later, unasked"),
    )  # fmt: skip


def _wrong_pushes() -> tuple[Fault, ...]:
    return tuple(
        replace(fault, where=PUSHES)
        for fault in (
            Fault(name="push-lost", misdeliver=misdeliver.lost, does="a push is never sent"),
            Fault(name="push-twice", value="2", misdeliver=misdeliver.twice, does="the very same push `value` times"),
            Fault(name="push-late", value="1.0", misdeliver=misdeliver.late, does="a push comes `value` seconds late, after newer ones"),
            Fault(name="push-old", value="7200", misdeliver=misdeliver.old, does="a push that was signed `value` seconds ago"),
            Fault(name="push-early", value="7200", misdeliver=misdeliver.early, does="a push that is signed `value` seconds ahead"),
            Fault(name="push-forged", misdeliver=misdeliver.forged, does="a push that another token signed"),
            Fault(name="push-other-key", misdeliver=misdeliver.other_key, does="a push under the key `value`, or one that nobody has"),
            Fault(name="push-other-platform", value="wx00000000000000ff", misdeliver=misdeliver.other_platform, does="a push for the platform `value`"),
            Fault(name="push-bad-padding", value="0", misdeliver=misdeliver.bad_padding, does="padding of bytes of `value`"),
            Fault(name="push-dtd", misdeliver=misdeliver.dtd, does="an outside entity declared in the content"),
            Fault(name="push-large", value="512", misdeliver=misdeliver.large, does="`value` KiB of white space in the envelope"),
            Fault(name="push-unknown", value="notify_third_fasteregister", misdeliver=misdeliver.unknown, does="the kind is `value`"),
            Fault(name="push-incomplete", misdeliver=misdeliver.incomplete, does="a push that says its kind, and nothing else"),
        )
    )  # fmt: skip


FAULTS = {
    fault.name: fault
    for fault in (
        *_refusals(),
        *_wrong_answers(),
        *_wrong_travels(),
        *_wrong_pushes(),
    )
}


def table() -> str:
    """The faults as a Markdown table, for the documentation."""
    lines = ["| fault | does | `value` | meets |", "| --- | --- | --- | --- |"]
    for fault in FAULTS.values():
        where = ", ".join(f"`{glob}`" for glob in fault.where)
        value = f"`{fault.value}`" if fault.value else ""
        lines.append(f"| `{fault.name}` | {fault.does} | {value} | {where} |")
    return "\n".join(lines) + "\n"
