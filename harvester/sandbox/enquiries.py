"""What a platform may ask besides tokens: its accounts, their standing, their quotas."""

from harvester.sandbox.authorising import func_info
from harvester.sandbox.endpoints import ENDPOINTS
from harvester.sandbox.platform import Platform
from harvester.sandbox.profiles import profile
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.tickets import Ask, Document, check_component
from harvester.sandbox.tokens import Kind

_MOST_LISTED = 500
UNLIMITED = 1_000_000
"""The daily limit that `quota_get` names where the sandbox has none."""


def api_get_authorizer_list(platform: Platform, ask: Ask) -> Document:
    """The accounts that authorised the platform, in pages of at most 500."""
    check_component(platform, ask)
    offset, count = ask.body.get("offset", 0), ask.body.get("count", _MOST_LISTED)
    if (
        not isinstance(offset, int)
        or not isinstance(count, int)
        or offset < 0
        or count < 1
    ):
        raise Refusal(47001)
    listed = platform.accounts.authorised()
    page = listed[offset : offset + min(count, _MOST_LISTED)]
    return {
        "total_count": len(listed),
        "list": [_listed(platform, appid) for appid in page],
    }


def _listed(platform: Platform, appid: str) -> Document:
    return {
        "authorizer_appid": appid,
        "refresh_token": platform.accounts.told_refresh_token(appid),
        "auth_time": platform.accounts.standing(appid).authorised_at,
    }


def api_get_authorizer_info(platform: Platform, ask: Ask) -> Document:
    """One account: its name, whether it is verified, what it granted."""
    check_component(platform, ask)
    appid = ask.text("authorizer_appid", 41002)
    platform.accounts.check_exists(appid, platform.settings.known_only)
    standing = platform.accounts.standing(appid)
    strict = platform.settings.strict
    if standing.revoked or (strict and not platform.accounts.authorises(appid)):
        raise Refusal(61003)
    return {
        "authorizer_info": {
            "nick_name": f"样板号{appid[-4:]}",
            "user_name": f"gh_{appid[4:16]}",
            "service_type_info": {
                "id": 0 if profile(platform.settings.seed, appid).quiet else 2
            },
            "verify_type_info": {"id": 0 if standing.verified else -1},
            "account_status": 19 if standing.frozen else 1,
        },
        "authorization_info": {
            "authorizer_appid": appid,
            "authorizer_refresh_token": platform.accounts.told_refresh_token(appid),
            "func_info": func_info(standing.granted),
        },
    }


def quota_get(platform: Platform, ask: Ask) -> Document:
    """`POST /cgi-bin/openapi/quota/get`: the calls of one path that are left today."""
    token = platform.tokens.check(ask.query.get("access_token", ""))
    name = _counted(ask.text("cgi_path", 76003), token.kind is Kind.COMPONENT)
    used = platform.quotas.used(token.appid, name, platform.today())
    settings = platform.settings
    limit = settings.daily_quota
    if token.kind is Kind.COMPONENT:
        limit = settings.call_quotas.get(name)
    limit = UNLIMITED if limit is None else limit
    quota = {"daily_limit": limit, "used": used, "remain": max(0, limit - used)}
    answer = {"errcode": 0, "errmsg": "ok", "quota": quota}
    if settings.minute_quota is not None:
        answer["rate_limit"] = {
            "call_count": settings.minute_quota,
            "refresh_second": 60,
        }
    return answer


def _counted(path: str, by_component: bool) -> str:
    """The name under which calls of this path are counted. Raises Refusal."""
    if not path.startswith("/"):
        raise Refusal(76003)
    folder, _, name = path.rpartition("/")
    of_component = folder == "/cgi-bin/component"
    if not of_component and (folder != "/datacube" or name not in ENDPOINTS):
        raise Refusal(76021)
    if of_component != by_component:
        raise Refusal(76022)
    return name
