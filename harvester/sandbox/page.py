"""WeChat's page on which an account's owner authorises the platform.

`…&appid=wx…` in its address (and `&sets=1,2`, if not all sets are granted) stands for
the owner who scans and agrees: the answer is the redirect with the code.
"""

from collections.abc import Mapping
from html import escape
from urllib.parse import urlencode

from aiohttp import web

from harvester.sandbox import authorising
from harvester.sandbox.platform import Platform
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.sandbox import Sandbox

PATHS = (
    "/cgi-bin/componentloginpage",
    "/safe/bindcomponent",
    "/wxaopen/safe/bindcomponent",
)
"""Of a computer, of a phone in former times, of a phone today."""

_SHOWN = 50


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """The page under all its addresses."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return _answered(sandbox.platform, request)
        except Refusal as refusal:
            text = f"<p>{refusal.code}: {escape(refusal.message)}</p>"
            return _html(text, status=400)

    return [web.get(path, handle) for path in PATHS]


def _answered(platform: Platform, request: web.Request) -> web.Response:
    query = request.query
    pre_auth_code = query.get("pre_auth_code", "")
    platform.pre_auth_codes.check(pre_auth_code)
    back = query.get("redirect_uri", "")
    if not back:
        raise Refusal(40066, "redirect_uri missing")
    appid = query.get("biz_appid") or query.get("appid", "")
    if not appid or "appid" not in query:
        return _html(_choice(platform, request, appid))
    platform.accounts.check_exists(appid, platform.settings.known_only)
    sets = _sets(query)
    platform.pre_auth_codes.spend(pre_auth_code)
    code = authorising.authorise(platform, appid, sets, pre_auth_code)
    came = {"auth_code": code, "expires_in": str(int(platform.codes.life))}
    joint = "&" if "?" in back else "?"
    return web.Response(
        status=302, headers={"Location": f"{back}{joint}{urlencode(came)}"}
    )


def _sets(query: Mapping[str, str]) -> list[int] | None:
    """The permission sets that are granted; nothing: all. Raises Refusal."""
    if "sets" not in query:
        return None
    try:
        return [int(number) for number in query["sets"].split(",") if number]
    except ValueError:
        raise Refusal(47001, "sets: write 1,2,3,7") from None


def _choice(platform: Platform, request: web.Request, pinned: str) -> str:
    """A link for each account that might authorise."""
    names = [pinned] if pinned else platform.accounts.known()[:_SHOWN]
    links = "".join(
        f'<li><a href="{escape(str(request.rel_url.update_query(appid=name)))}">{escape(name)}</a></li>'
        for name in names
    )
    return f"<h1>授权 · Authorise</h1><ul>{links}</ul>"


def _html(text: str, status: int = 200) -> web.Response:
    page = f"<!DOCTYPE html><meta charset='utf-8'><title>sandbox</title>{text}"
    return web.Response(text=page, status=status, content_type="text/html")
