"""Every key of `accounts.toml`: its default, its bounds and its meaning.

The descriptions are what `docs/configuration.md` is generated from. Loading, the
environment and the accounts file are `settings.py`; the kinds of value `fields.py`.
"""

from datetime import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harvester import dates
from harvester.config import fields
from harvester.config.fields import FIRST_DAY, SecretValue, Url


class Section(BaseModel):
    """A table of the file: unknown keys and near misses of a type are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class Api(Section):
    """Where WeChat answers."""

    url: Url = Field("https://api.weixin.qq.com", description="The API's address.")
    fallback_urls: fields.Urls = Field(
        ("https://api2.weixin.qq.com",),
        description="Tried when the first cannot be reached; not for component calls.",
    )
    timeout_seconds: float = Field(
        20, gt=0, le=600, description="Longest wait for one answer, in seconds."
    )


class Platform(Section):
    """The third-party platform; leave it out when every account has its own secret."""

    appid: fields.AppId | None = Field(None, description="The platform's appid.")
    secret: SecretValue | None = Field(
        None, description="The platform's secret: harvester owns the tokens."
    )
    ticket: fields.TicketValue | None = Field(
        None,
        description="The component ticket, instead of the one in the vault; "
        "its file is read anew each time.",
    )
    discover: bool = Field(
        True,
        description="Accounts come from the platform and `[[accounts]]` only overrides. "
        "This build harvests the listed accounts alone.",
    )
    token_url: fields.TokenUrl | None = Field(
        None,
        description="Another system owns the tokens: GET answers `access_token` and "
        "`expires_in`. Then harvester never mints one.",
    )
    token_headers: dict[str, SecretValue] = Field(
        default_factory=dict, description="Headers for `token_url`."
    )
    callback_token: SecretValue | None = Field(
        None, description="For receiving pushes: the token of the callback."
    )
    encoding_aes_key: SecretValue | None = Field(
        None, description="For receiving pushes: the key of the callback."
    )
    previous_encoding_aes_key: SecretValue | None = Field(
        None, description="The key before, while messages in flight still use it."
    )

    callback_path: fields.CallbackPath = Field(
        "/wechat/events", description="Pushes are taken under this path as well."
    )
    public_url: Url | None = Field(
        None, description="Address under which accounts' owners reach /authorize."
    )
    accept_age: float = Field(
        3600,
        gt=0,
        le=86_400,
        description="Seconds after which a push is too old to be taken.",
    )
    exchange_codes: bool = Field(
        True, description="false: another system calls api_query_auth."
    )

    @model_validator(mode="after")
    def _owner_or_guest(self) -> "Platform":
        if self.token_url is None and self.secret is None:
            raise ValueError(
                "expected secret (harvester owns the tokens) or token_url (another system does)"
            )
        if self.token_url is not None and (self.secret or self.ticket):
            raise ValueError(
                "token_url excludes secret and ticket: only one system may own the tokens"
            )
        if self.secret is not None and self.appid is None:
            raise ValueError("appid is missing: secret belongs to one")
        return self


class Vault(Section):
    """Where tokens are kept between runs."""

    url: fields.VaultUrl = Field(
        "sqlite:///vault.db",
        validate_default=True,
        description="A SQLite file, or `redis://host` for several machines.",
    )
    key: fields.Keys = Field(
        (),
        description="Encrypts what is stored: a Fernet key, or several, the newest first.",
    )


class Lake(Section):
    """The output directory. Its layout is fixed when the lake is made."""

    path: fields.LakePath = Field(
        "lake", validate_default=True, description="The output directory."
    )
    buckets: int = Field(
        0,
        ge=0,
        le=99_999,
        description="0: a directory per account; N: accounts packed into N buckets.",
    )
    date: Literal["day", "month"] = Field(
        "day", description="A partition a day or a month."
    )
    compression: Literal["auto", "snappy", "zstd"] = Field(
        "auto", description="`auto`: snappy for tiny files, zstd for large ones."
    )
    memory_mb: int = Field(
        64, ge=16, le=65_536, description="Rows, queues and bodies in flight, in MB."
    )
    raw: bool = Field(False, description="Keep every payload, compressed, for replay.")
    raw_keep_days: int | None = Field(
        None, ge=1, description="How long payloads are kept; without it: for ever."
    )


class Harvest(Section):
    """What is wanted."""

    endpoints: fields.SomeNames = Field(
        ("official_account",), description="Ids, globs, families, groups."
    )
    since: fields.Day = Field(
        FIRST_DAY,
        description="First date wanted; clamped to each endpoint's earliest day.",
    )
    until: fields.LastDay = Field(
        "yesterday", description='Last date wanted: "yesterday" or a date.'
    )
    ready_at: fields.Clock = Field(
        time(8), description="China time from which yesterday counts as complete."
    )
    recheck_empty_days: int = Field(
        3,
        ge=0,
        le=366,
        description="An empty recent day is asked again this many days.",
    )
    refresh_days: fields.Ages = Field(
        (1, 2, 3, 7, 14, 30),
        description="Ages in days at which a moving cell is asked again.",
    )
    wide_windows: bool = Field(
        False,
        description="Weeks and months by the old documents' 30 days, not one label a call.",
    )
    order: Literal["newest-first", "oldest-first"] = Field(
        "newest-first", description="Which dates are fetched first."
    )

    @model_validator(mode="after")
    def _since_before_until(self) -> "Harvest":
        if isinstance(self.until, int) and self.since > self.until:
            since, until = dates.text(self.since), dates.text(self.until)
            raise ValueError(f"since ({since}) is after until ({until})")
        return self


class Limits(Section):
    """How much each account, and this machine, may be asked to bear."""

    calls_per_second: float = Field(10, gt=0, le=1000, description="Per account.")
    in_flight: int = Field(4, ge=1, le=1000, description="Calls at once, per account.")
    total_in_flight: int = Field(
        256, ge=1, le=10_000, description="Calls at once, in all."
    )
    daily_calls: fields.DailyCalls = Field(
        "ask",
        description="Per account and endpoint: a number, or `ask` WeChat for plans "
        "above 50 calls.",
    )
    daily_calls_unknown: int = Field(
        800, ge=1, description="When asking gives no answer."
    )
    quota_reserve: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the quota left to the account's other systems.",
    )
    confirm_calls: int = Field(
        100_000, ge=0, description="A run that would spend more needs `--yes`."
    )


class AccountEntry(Section):
    """One account, in the file or in a row of the accounts file."""

    appid: fields.AppId = Field(description="The account's appid.")
    name: str = Field(
        "", max_length=200, description="A name to select and read it by."
    )
    secret: SecretValue | None = Field(
        None, description="Its own secret (own accounts)."
    )
    refresh_token: SecretValue | None = Field(
        None,
        description="Authorised to `[platform]`; only until the vault knows a newer one.",
    )
    token_url: Url | None = Field(None, description="This account's own token server.")
    endpoints: fields.Names = Field((), description="Instead of `harvest.endpoints`.")
    since: fields.Day | None = Field(None, description="Instead of `harvest.since`.")
    calls_per_second: float | None = Field(
        None, gt=0, le=1000, description="Instead of `limits.calls_per_second`."
    )

    @model_validator(mode="after")
    def _one_credential(self) -> "AccountEntry":
        given = [
            key
            for key in ("secret", "refresh_token", "token_url")
            if getattr(self, key)
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: keep one")
        return self


Entries = Annotated[tuple[AccountEntry, ...], BeforeValidator(fields.as_tuple)]


class Config(Section):
    """The whole file."""

    accounts_file: fields.File | None = Field(
        None,
        description="More accounts: csv, jsonl or parquet with the keys of `[[accounts]]`.",
    )
    endpoints_file: fields.File | None = Field(
        None, description="Endpoints of your own, in the catalogue's format."
    )
    api: Api
    platform: Platform | None = None
    vault: Vault
    lake: Lake
    harvest: Harvest
    limits: Limits
    accounts: Entries = ()

    @model_validator(mode="before")
    @classmethod
    def _absent_sections_have_defaults(cls, data: Any) -> Any:
        sections = ("api", "vault", "lake", "harvest", "limits")
        return (
            {**{key: {} for key in sections}, **data}
            if isinstance(data, dict)
            else data
        )
