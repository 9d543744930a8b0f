"""What a fault makes of an answer: pure, but for the token that `expired-token` kills."""

from dataclasses import dataclass

from harvester.sandbox.alterations import Document, encode
from harvester.sandbox.delivery import Reply
from harvester.sandbox.faults import CARRIED, ELSEWHERE
from harvester.sandbox.injection import Armed
from harvester.sandbox.refusals import Refusal
from harvester.sandbox.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may need to know of the call it strikes."""

    tokens: Tokens
    token: str
    elsewhere: str
    """The call's own address under another origin."""


def value(armed: Armed, scene: Scene) -> str:
    """What the fault's `value` means for this call."""
    return armed.value.replace(ELSEWHERE, scene.elsewhere)


def struck(armed: Armed, document: Document, scene: Scene) -> Reply | None:
    """The reply as the fault has it; nothing where it cannot strike this answer."""
    fault, meant = armed.fault, value(armed, scene)
    if fault.code is not None:
        document = _refused(armed, scene)
    elif fault.alter is not None and (
        document.get("errcode") or not fault.alter(document, meant)
    ):
        return None
    body = encode(document)
    spelt = fault.spell(body, meant) if fault.spell else body
    if spelt is None:
        return None
    return fault.dress(Reply(spelt), meant) if fault.dress else Reply(spelt)


def _refused(armed: Armed, scene: Scene) -> Document:
    if armed.fault.kills_token:
        scene.tokens.kill(scene.token)
    code = int(armed.value or armed.fault.code or 0)
    return Refusal(code, armed.fault.message.replace(CARRIED, scene.token)).document()
