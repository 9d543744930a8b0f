"""What WeChat's codes mean: code → (decision, scope, meaning, what to do).

Data only; `api.codes` gives it types. Where a place of the address belongs into
the advice stands `{address}`.

1. `RULES` holds for calls of data, `FAMILY_RULES` overrides it for a family.
2. `TOKEN_RULES` overrides it for the calls that fetch tokens; what neither names
   there, and would touch one request only, is what `""` says, or fails the account.
3. A code that stands nowhere fails its call, with the answer's bytes kept.
"""

Row = tuple[str, str, str, str]

_BUG = "report this as a bug"
_LATER = "run again later"
_OWNER = "ask the account's owner"
_AUTHORISE = "have the account's owner authorise the platform again"
_GRANT = "have the account's owner grant the permission set and authorise again"
_CONTENDED = "look for another system that fetches tokens of this account"
_SAME_PLATFORM = "look for another system that uses the same platform"
_WHITELIST = "add {address} to the platform's IP whitelist"
_CONFIRM = "have the account's admin confirm calls from {address}"
_PLATFORM = "check appid and secret of [platform]"
_TICKET = "see that `harvester serve` runs and WeChat reaches it, or put a ticket in by `harvester vault put-ticket`"

RULES: dict[str, Row] = {
    "-1": ("retry", "request", "WeChat is busy", _LATER),
    "40001": (
        "refresh_token",
        "request",
        "the token is not the latest one",
        _CONTENDED,
    ),
    "40013": ("fail", "request", "the appid is not valid", "check the appid"),
    "40014": ("refresh_token", "request", "the token is not valid", _CONTENDED),
    "40066": ("fail", "request", "the path is not valid", _BUG),
    "40094": ("park_account", "account", "the secret is wrong", "check the secret"),
    "40125": ("park_account", "account", "the secret is wrong", "check the secret"),
    "40164": (
        "fail",
        "account",
        "this machine's address is not in the account's IP whitelist",
        "add {address} to the account's IP whitelist",
    ),
    "40234": ("fail", "request", "the request's signature is wrong", _BUG),
    "40243": (
        "park_account",
        "account",
        "the owner has frozen the secret",
        "have the owner unfreeze it, or configure the new one",
    ),
    "41001": ("fail", "request", "the request has no access token", _BUG),
    "41002": ("fail", "request", "the request has no appid", _BUG),
    "41004": ("fail", "request", "the request has no secret", "check the secret"),
    "41018": ("fail", "request", "the request has no platform appid", _BUG),
    "41021": ("fail", "request", "the request has no platform token", _BUG),
    "42001": ("refresh_token", "request", "the token has expired", _CONTENDED),
    "42002": ("recover_refresh_token", "account", "the refresh token expired", ""),
    "42006": ("refresh_token", "request", "the platform's token has expired", ""),
    "42007": ("account_gone", "account", "its credentials were revoked", _AUTHORISE),
    "43002": ("fail", "request", "the path wants POST", _BUG),
    "43003": ("fail", "request", "the path wants https", "check [api] url"),
    "44002": ("fail", "request", "the request's body is empty", _BUG),
    "45009": ("park_endpoint", "endpoint", "today's quota is used up", _LATER),
    "45011": ("slow_down", "account", "too many calls this minute", ""),
    "45035": (
        "stop_process",
        "process",
        "this machine's address is in no IP whitelist",
        _WHITELIST,
    ),
    "45040": ("park_endpoint", "endpoint", "this month's quota is used up", _LATER),
    "45061": ("slow_down", "account", "too many calls this minute", ""),
    "45102": ("park_endpoint", "endpoint", "blocked for a while", _LATER),
    "45501": (
        "park_account",
        "account",
        "WeChat blocks its requests for a while",
        "look for a notice in the open platform's console",
    ),
    "46009": ("empty", "request", "there is no user data", ""),
    "47001": ("fail", "request", "WeChat cannot read the request", _BUG),
    "47006": ("park_endpoint", "endpoint", "today's quota is used up", _LATER),
    "47009": ("retired", "endpoint", "WeChat has switched the endpoint off", ""),
    "48001": (
        "deny_endpoint",
        "endpoint",
        "the account may not use it",
        "have the account verified, or leave the endpoint out",
    ),
    "48004": (
        "park_account",
        "account",
        "its interfaces are banned as a punishment",
        _OWNER,
    ),
    "48006": ("fail", "request", "no quota clears are left this month", ""),
    "48017": (
        "stop_process",
        "process",
        "a retired address of WeChat was called",
        "use the domain name: remove pinned addresses and stale DNS entries",
    ),
    "50001": ("deny_endpoint", "endpoint", "not authorised to use it", _GRANT),
    "50002": ("park_account", "account", "the account is restricted", _OWNER),
    "50003": ("deny_endpoint", "endpoint", "it is not on the allow list", _OWNER),
    "50004": ("park_account", "account", "it may not use tokens", _OWNER),
    "50007": ("park_account", "account", "the account is frozen", _OWNER),
    "61003": (
        "account_gone",
        "account",
        "it does not authorise the platform",
        _AUTHORISE,
    ),
    "61004": (
        "stop_process",
        "process",
        "this machine's address is not in the platform's IP whitelist",
        _WHITELIST,
    ),
    "61005": ("stop_everything", "platform", "the ticket has expired", _TICKET),
    "61006": ("stop_everything", "platform", "the ticket is not valid", _TICKET),
    "61007": (
        "deny_set",
        "endpoint",
        "the permission set was not granted",
        _GRANT,
    ),
    "61009": ("fail", "request", "the authorisation code is not valid", ""),
    "61010": ("fail", "request", "the authorisation code has expired", ""),
    "61011": ("stop_everything", "platform", "the platform is unknown", _PLATFORM),
    "61014": ("fail", "request", "it wants the platform's token", _BUG),
    "61015": ("fail", "request", "it wants the account's token", _BUG),
    "61016": (
        "deny_set",
        "endpoint",
        "the permission set needs to be confirmed by the platform",
        "confirm the set in the open platform's console",
    ),
    "61017": ("deny_set", "endpoint", "the permission set was not granted", _GRANT),
    "61023": ("recover_refresh_token", "account", "the refresh token is invalid", ""),
    "61024": ("fail", "request", "it wants the platform's token", _BUG),
    "61028": (
        "stop_everything",
        "platform",
        "the platform is not published",
        "publish it in the open platform's console",
    ),
    "61029": (
        "stop_everything",
        "platform",
        "the platform has to be published again",
        "publish it in the open platform's console",
    ),
    "61030": ("fail", "request", "a platform may not cancel it", _BUG),
    "61450": ("retry", "request", "WeChat is busy", _LATER),
    "61500": ("fail", "request", "WeChat cannot read the dates", _BUG),
    "61501": ("narrow", "request", "WeChat does not take the range of dates", ""),
    "61502": ("deny_endpoint", "account", "mini games have no such data", ""),
    "61503": ("not_ready", "request", "the data is not ready yet", _LATER),
    "61504": ("retry", "request", "WeChat is busy", _LATER),
    "76001": ("fail", "request", "the request id is unknown", ""),
    "76002": ("fail", "request", "the request id is not of this account", ""),
    "76003": ("fail", "request", "the path asked about is malformed", _BUG),
    "76021": ("fail", "request", "the path asked about is unknown", ""),
    "76022": ("fail", "request", "the path wants another kind of token", _BUG),
    "80000": ("retry", "request", "WeChat is busy", _LATER),
    "86000": ("fail", "request", "only platforms may call it", ""),
    "89501": ("park_account", "account", "a confirmation is pending", _CONFIRM),
    "89502": ("park_account", "account", "it waits for the admin", _CONFIRM),
    "89503": ("park_account", "account", "the admin was asked", _CONFIRM),
    "89504": ("park_account", "account", "it waits for the admin", _CONFIRM),
    "89505": ("park_account", "account", "it waits for the admin", _CONFIRM),
    "89506": ("park_account", "account", "the admin refused the address", _CONFIRM),
    "89507": ("park_account", "account", "the admin refused the address", _CONFIRM),
    # What never came from WeChat: pseudo-codes of ours.
    "timeout": ("retry", "request", "no answer in time", _LATER),
    "reset": ("retry", "request", "the connection broke", _LATER),
    "dns": ("retry", "request", "the name cannot be resolved", "check the network"),
    "unreachable": ("retry", "request", "no connection", "check the network"),
    "tls": ("retry", "request", "no safe connection", "check url and certificates"),
    "http_5xx": ("retry", "request", "the gateway failed", _LATER),
    "http_4xx": ("fail", "request", "the gateway refused the request", "check the url"),
    "redirect": (
        "fail",
        "request",
        "a redirect, which would carry the token away",
        "check the url",
    ),
    "not_json": ("retry", "request", "the answer is no JSON object", _LATER),
    "too_large": ("fail", "request", "the answer is too large", _BUG),
    "no_rows": ("fail", "request", "the answer has no rows where they belong", _BUG),
    "no_token": ("fail", "account", "the answer has no token where it belongs", ""),
    "rejected": (
        "park_account",
        "account",
        "three fresh tokens in a row were rejected",
        _CONTENDED,
    ),
    "unknown": ("fail", "request", "WeChat's code is none", ""),
    "stale_token": (
        "fail",
        "account",
        "the token that was rejected is still handed out",
        _CONTENDED,
    ),
    "contended": (
        "park_account",
        "account",
        "its tokens were replaced too often within an hour",
        _CONTENDED,
    ),
    "overtaken": ("retry", "account", "another process refreshes the token", _LATER),
    "old_ticket": (
        "stop_everything",
        "platform",
        "the last ticket is older than 12 hours",
        _TICKET,
    ),
    "no_ticket": ("stop_everything", "platform", "no ticket is known", _TICKET),
    "no_refresh_token": (
        "fail",
        "account",
        "no refresh token is known",
        "put it in by `harvester vault put-refresh-token`, or authorise again",
    ),
    "needs_authorisation": (
        "account_gone",
        "account",
        "its authorisation no longer holds",
        _AUTHORISE,
    ),
    "no_credentials": (
        "fail",
        "account",
        "nothing is configured to get a token with",
        "give it a secret, a refresh_token with [platform], or a token_url",
    ),
}

UNKNOWN: Row = ("fail", "request", "WeChat refused with a code nobody knows", "")

FAMILY_RULES: dict[str, dict[str, Row]] = {
    "publisher": {
        "1701": ("fail", "request", "WeChat cannot read the parameters", _BUG),
        "2009": ("deny_set", "endpoint", "the account shows no advertisements", ""),
        "45009": ("slow_down", "account", "too many calls at a time", ""),
        "45010": ("fail", "request", "the report's name is not valid", _BUG),
    },
}

ACCOUNT_FAILS: Row = ("fail", "account", "", "")

_WRONG_SECRET: Row = (
    "fail",
    "account",
    "appid and secret do not belong together",
    "check the account's secret",
)
_WRONG_PLATFORM: Row = (
    "stop_everything",
    "platform",
    "the platform's appid and secret do not belong together",
    _PLATFORM,
)
_NO_REFRESHES: Row = (
    "park_endpoint",
    "account",
    "the platform may refresh no more tokens today",
    "accounts with valid tokens go on; the others follow tomorrow",
)
_PLATFORM_TOKEN: Row = (
    "refresh_token",
    "platform",
    "the platform's token was rejected",
    "",
)

TOKEN_RULES: dict[str, dict[str, Row]] = {
    "stable_token": {
        "40001": _WRONG_SECRET,
        "40013": _WRONG_SECRET,
        "40125": _WRONG_SECRET,
        "40094": _WRONG_SECRET,
        "45009": (
            "park_endpoint",
            "account",
            "the account may fetch no more tokens today",
            _LATER,
        ),
    },
    "api_component_token": {
        "40001": _WRONG_PLATFORM,
        "40013": _WRONG_PLATFORM,
        "40125": _WRONG_PLATFORM,
        "40094": _WRONG_PLATFORM,
        "41004": _WRONG_PLATFORM,
        "45009": _NO_REFRESHES,
        "48001": _WRONG_PLATFORM,
        "": ("stop_everything", "platform", "", ""),
    },
    "api_authorizer_token": {
        "40001": _PLATFORM_TOKEN,
        "40014": _PLATFORM_TOKEN,
        "42001": _PLATFORM_TOKEN,
        "45009": _NO_REFRESHES,
        "rejected": (
            "stop_everything",
            "platform",
            "three fresh tokens of the platform in a row were rejected",
            _SAME_PLATFORM,
        ),
        "contended": (
            "stop_everything",
            "platform",
            "the platform's token was replaced too often within an hour",
            _SAME_PLATFORM,
        ),
    },
    "token_url": {},
}
"""By the call that answers: the same code says something else there."""
