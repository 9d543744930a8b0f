"""The pages that an account's owner sees, in Chinese and English. Pure: HTML texts.

WeChat opens its page only for a click on a page of the registered launch domain: a
redirect, or a page that hides where it comes from, is turned away. So the owner gets a
page with one large link, and that page sends its origin along.
"""

import re
from dataclasses import dataclass
from html import escape
from string import Template
from urllib.parse import urlencode

OFFICIAL_ACCOUNTS = "1"
"""`auth_type`: the owner chooses among Official Accounts, for these are harvested."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Vary": "User-Agent",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
SENDS_ORIGIN = {"Referrer-Policy": "origin"}
HIDES_ADDRESS = {"Referrer-Policy": "no-referrer"}
"""The address of the page the owner comes back to holds the code."""

_COMPUTER = "https://mp.weixin.qq.com/cgi-bin/componentloginpage"
_PHONE = "https://open.weixin.qq.com/wxaopen/safe/bindcomponent"
_PHONES = re.compile(r"Android|iPhone|iPad|iPod|HarmonyOS|OpenHarmony|Mobile")


@dataclass(frozen=True, slots=True)
class Notice:
    """A page that says something: its HTTP status, and both languages."""

    status: int
    title: tuple[str, str]
    text: tuple[str, str]
    again: bool = False
    """Whether it offers to begin anew."""


GRANTED = Notice(
    200,
    ("授权成功", "Authorised"),
    (
        "授权已完成，可以关闭此页面。",
        "The authorisation is complete. You may close this page.",
    ),
)
RECEIVED = Notice(
    200,
    ("已收到授权", "Authorisation received"),
    (
        "授权信息已收到，无需其他操作，可以关闭此页面。",
        "The authorisation has arrived and nothing more is to be done. You may close this page.",
    ),
)
LATER = Notice(
    202,
    ("已收到授权", "Authorisation received"),
    (
        "授权信息已收到，正在处理，无需等待，可以关闭此页面。",
        "The authorisation has arrived and is being processed. There is no need to wait: "
        "you may close this page.",
    ),
)
INVALID = Notice(
    410,
    ("授权链接已失效", "This link has expired"),
    (
        "授权码已过期或已被使用。如未完成授权，请重新开始。",
        "The authorisation code has expired or was used before. If you have not completed "
        "the authorisation, please begin anew.",
    ),
    again=True,
)
INCOMPLETE = Notice(
    400,
    ("链接不完整", "This link is incomplete"),
    (
        "链接中缺少授权码，请重新开始授权。",
        "The link does not hold an authorisation code. Please begin anew.",
    ),
    again=True,
)
BUSY = Notice(
    503,
    ("请稍后再试", "Please try again later"),
    (
        "暂时无法打开授权页面，请几分钟后再试。",
        "The authorisation page cannot be opened now. Please try again in a few minutes.",
    ),
    again=True,
)
NOT_OFFERED = Notice(
    503,
    ("未开放授权", "Not offered here"),
    (
        "此服务器未配置授权页面，请联系服务提供方。",
        "This server is not set up to start authorisations. Please ask your service provider.",
    ),
)

_FRAME = Template("""\
<!DOCTYPE html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 32em; margin: 3em auto; padding: 0 1em }
h1 { font-size: 1.4em }
a.button { display: inline-block; padding: .7em 1.6em; border-radius: .4em;
  background: #07c160; color: #fff; text-decoration: none }
</style>
</head>
<body>
$body
</body>
</html>
""")


def on_phone(user_agent: str) -> bool:
    """Whether this browser is a phone's or a tablet's."""
    return _PHONES.search(user_agent) is not None


def wechat_url(
    platform: str, pre_auth_code: str, redirect_url: str, *, phone: bool
) -> str:
    """WeChat's page for an account's owner; on a phone it opens within WeChat alone."""
    query = {
        "component_appid": platform,
        "pre_auth_code": pre_auth_code,
        "redirect_uri": redirect_url,
        "auth_type": OFFICIAL_ACCOUNTS,
    }
    if not phone:
        return f"{_COMPUTER}?{urlencode(query)}"
    query = {"action": "bindcomponent", "no_scan": "1", **query}
    return f"{_PHONE}?{urlencode(query)}#wechat_redirect"


def forward(url: str, *, phone: bool) -> str:
    """The page with the link to WeChat's."""
    link = f'<p><a class="button" href="{escape(url)}">前往微信授权 · Continue to WeChat</a></p>'
    chinese = ["点击按钮，由公众号管理员完成授权。"]
    english = ["Follow the button; the account's administrator completes it there."]
    if phone:
        chinese.append("请在微信中打开本页面。")
        english.append("Please open this page in WeChat.")
    title = ("公众号授权", "Authorise your Official Account")
    return _page(title, ("".join(chinese), " ".join(english)), link)


def notice(which: Notice) -> str:
    """A page that says something."""
    again = '<p><a class="button" href="authorize">重新授权 · Begin anew</a></p>'
    return _page(which.title, which.text, again if which.again else "")


def _page(title: tuple[str, str], text: tuple[str, str], link: str) -> str:
    said = zip(("zh-CN", "en"), title, text, strict=True)
    body = [
        f'<section lang="{language}"><h1>{escape(head)}</h1><p>{escape(words)}</p></section>'
        for language, head, words in said
    ]
    return _FRAME.substitute(
        title=escape(" · ".join(title)), body="\n".join((*body, link))
    )
