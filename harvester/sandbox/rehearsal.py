"""A configuration for a rehearsal: made-up accounts that point at a sandbox."""

from pathlib import Path

from harvester.errors import UsageError
from harvester.sandbox.settings import Settings, appids

_TOML = """\
# A rehearsal with {count} made-up accounts against a sandbox.
# Everything here is invented: no account, secret or figure exists anywhere else.

accounts_file = "accounts.csv"

[api]
url = "{url}"
fallback_urls = []

[lake]
path = "lake"
buckets = {buckets}
date = "{date}"
"""
_PLATFORM = """\

[platform]
appid = "{settings.platform}"
secret = "{secret}"
callback_token = "{settings.callback_token}"
encoding_aes_key = "{settings.aes_key}"
"""

_FEW = 50
"""Up to so many accounts a directory each is fine."""


def accounts_toml(settings: Settings, url: str) -> str:
    """The configuration: packed into buckets when the accounts are many."""
    few = settings.accounts <= _FEW
    buckets = 0 if few else max(4, min(256, settings.accounts // 500))
    text = _TOML.format(
        count=settings.accounts,
        url=url,
        buckets=buckets,
        date="day" if few else "month",
    )
    secret = settings.platform_secret or "sandbox-platform-secret"
    platform = _PLATFORM.format(settings=settings, secret=secret)
    return text + platform if settings.callback_url else text


def accounts_csv(settings: Settings) -> str:
    """The accounts: appid, name, and a secret of its own where no platform acts for it."""
    own = not settings.callback_url
    lines = [
        f"{appid},rehearsal-{number:05d}" + own * f",sandbox-secret-{number:05d}"
        for number, appid in enumerate(appids(settings.seed, settings.accounts), 1)
    ]
    return "\n".join(["appid,name" + own * ",secret", *lines]) + "\n"


def rehearsal(settings: Settings, folder: Path, url: str = "") -> Path:
    """Writes both files into the folder and returns the path of `accounts.toml`.

    Without a url, that of the settings, which need a fixed port then. A file that is
    there already and says something else is kept. Raises UsageError.
    """
    if not url and not settings.port:
        raise UsageError(
            "a rehearsal needs to know the sandbox's port", "choose one with --port"
        )
    texts = {
        "accounts.toml": accounts_toml(
            settings, url or f"http://{settings.host}:{settings.port}"
        ),
        "accounts.csv": accounts_csv(settings),
    }
    for name, text in texts.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise UsageError(f"{path} says something else", "choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    return folder / "accounts.toml"
