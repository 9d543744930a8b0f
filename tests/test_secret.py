"""Secrets are never seen: in a repr, a log, an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvester.secret import Secret, hide, masked

PLAIN = "p1ain-value-of-a-secret"
LONGER = PLAIN + "-and-more"
ODD = "refreshtoken@@@a/b+c=="


@pytest.fixture(autouse=True)
def _hidden() -> None:
    hide([Secret(PLAIN), Secret(LONGER), Secret(ODD), Secret("abc")])


def test_a_secret_shows_nothing() -> None:
    secret = Secret(PLAIN)
    assert PLAIN not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == PLAIN


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PLAIN, "***"),
        (f"a{PLAIN}b", "a***b"),
        (LONGER, "***"),
        (f"{PLAIN} {LONGER}{PLAIN}", "*** ******"),
        (f"x={ODD};", "x=***;"),
        ("refreshtoken%40%40%40a%2Fb%2Bc%3D%3D", "***"),
        ("abc is too short to be searched for", "abc is too short to be searched for"),
        ("p1ai", "p1ai"),
        ("", ""),
        ("/datacube?access_token=xyz&a=1", "/datacube?access_token=***&a=1"),
        ("component_access_token=xyz", "component_access_token=***"),
        ('{"access_token": "xyz", "expires_in": 7200}', '{"access_token": "***", "expires_in": 7200}'),
        ("{'authorizer_refresh_token': 'xyz'}", "{'authorizer_refresh_token': '***'}"),
        ("ComponentVerifyTicket=ticket@@@xyz", "ComponentVerifyTicket=***"),
        ("component_verify_ticket=ticket@@@xyz", "component_verify_ticket=***"),
        ("/authorized?auth_code=queryauthcode@@@xyz&expires_in=600", "/authorized?auth_code=***&expires_in=600"),
        ('{"authorization_code":"xyz"}', '{"authorization_code":"***"}'),
        ("<ComponentVerifyTicket><![CDATA[ticket@@@xyz]]></ComponentVerifyTicket>", "<ComponentVerifyTicket><![CDATA[***]]></ComponentVerifyTicket>"),
        ("<AuthorizationCode>xyz</AuthorizationCode>", "<AuthorizationCode>***</AuthorizationCode>"),
        ("accounts[0].secret: expected text", "accounts[0].secret: expected text"),
    ],
)  # fmt: skip
def test_text_that_leaves_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.text(), st.text())
def test_a_hidden_value_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert PLAIN not in masked(before + PLAIN + after)
