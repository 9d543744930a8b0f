"""What WeChat says no with: HTTP 200, a code, its words, and a request id.

The status is another one only where another system answers (a token server).
"""

import secrets
import time

MESSAGES = {
    -1: "system busy now, please try later",
    40001: "invalid credential, access_token is invalid or not latest",
    40002: "invalid grant_type",
    40013: "invalid appid",
    40014: "invalid access_token",
    40066: "invalid url",
    40125: "invalid appsecret",
    40164: "invalid ip 127.0.0.1, not in whitelist",
    41001: "access_token missing",
    41002: "appid missing",
    41004: "appsecret missing",
    41018: "component_appid missing",
    41021: "component_access_token missing",
    42001: "access_token expired",
    43002: "require POST method",
    44002: "empty post data",
    45009: "reach max api daily quota limit",
    45011: "api minute-quota reach limit, must slower, retry next minute",
    47001: "data format error",
    47009: "this api is offline, please use the new api",
    48001: "api unauthorized",
    48004: "api forbidden for irregularities",
    50002: "user limited",
    50004: "not allowed to use access token, maybe punishment",
    61003: "component is not authorized by this account",
    61004: "access clientip is not registered, requestIP: 127.0.0.1",
    61005: "component ticket is expired",
    61006: "component ticket is invalid",
    61007: "api is unauthorized to component",
    61009: "code is invalid",
    61010: "code is expired",
    61014: "must use component token for component api",
    61015: "must use api authorizer token for this api",
    61023: "refresh_token is invalid",
    61500: "date format error",
    61501: "date range error",
    61503: "data not ready, please try later",
    76003: "invalid cgi_path",
    76021: "cgi_path not found",
    76022: "cgi_path and token do not match",
}


class Refusal(Exception):
    """A call that ends with an error body."""

    def __init__(self, code: int, message: str = "", status: int = 200) -> None:
        super().__init__(code)
        self.code = code
        self.message = message or MESSAGES.get(code, "unknown error")
        self.status = status

    def document(self) -> dict[str, object]:
        """`{"errcode": n, "errmsg": "... rid: ..."}`."""
        return {"errcode": self.code, "errmsg": f"{self.message} rid: {_rid()}"}


def _rid() -> str:
    """Three groups of eight hex digits; the first is the time in seconds."""
    return f"{int(time.time()):08x}-{secrets.token_hex(4)}-{secrets.token_hex(4)}"
