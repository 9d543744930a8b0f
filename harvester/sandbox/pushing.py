"""Pushes to the platform's operator: tickets on a schedule, events when they happen.

One after another, in the order in which they came about; what is not taken within five
seconds is lost, as with WeChat.
"""

import asyncio
import time

from aiohttp import ClientError, ClientSession, ClientTimeout

from harvester.sandbox.authorising import TICKET, event
from harvester.sandbox.injection import Injection, Place
from harvester.sandbox.outbox import Push
from harvester.sandbox.platform import Platform
from harvester.sandbox.sealing import Draft, Letter, letter
from harvester.sandbox.tally import Tally

SECONDS = 5.0

_XML = {"Content-Type": "text/xml"}


class Pushes:
    """Sends what the platform's outbox holds, for as long as `work` runs."""

    def __init__(self, platform: Platform, faults: Injection, tally: Tally) -> None:
        self._platform = platform
        self._faults = faults
        self._tally = tally

    async def work(self) -> None:
        """Sends for ever."""
        outbox = self._platform.outbox
        timeout = ClientTimeout(total=SECONDS)
        async with (
            ClientSession(timeout=timeout) as session,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._tickets())
            while True:
                push = await outbox.next()
                draft = self._drafted(push)
                sending = tasks.create_task(self._sent(session, push, draft))
                if not draft.wait:
                    await sending

    async def push(self, kind: str, appid: str = "") -> str:
        """Pushes now: how the receiver answered. Raises Refusal."""
        made = event(self._platform, kind, appid)
        answered = asyncio.get_running_loop().create_future()
        self._platform.outbox.put(Push(kind, appid, made.fields, answered))
        return str(await answered)

    async def _tickets(self) -> None:
        while True:
            settings = self._platform.settings
            if settings.pushing and settings.callback_url:
                self._platform.outbox.put(event(self._platform, TICKET))
            await asyncio.sleep(settings.ticket_seconds)

    def _drafted(self, push: Push) -> Draft:
        """The push to be sealed, changed by the first fault that meets it."""
        settings, now = self._platform.settings, int(time.time())
        draft = Draft(
            fields={"CreateTime": now, "InfoType": push.kind, **push.fields},
            appid=settings.platform,
            token=settings.callback_token,
            key=settings.aes_key,
            signed_at=now,
        )
        place = Place(f"push_{push.kind}", push.appid or settings.platform)
        for armed in self._faults.candidates(place):
            if armed.fault.misdeliver is not None:
                armed.fault.misdeliver(draft, armed.value)
                self._faults.strike(armed, place)
                break
        return draft

    async def _sent(self, session: ClientSession, push: Push, draft: Draft) -> None:
        await asyncio.sleep(draft.wait)
        sent, answer = letter(draft), "not sent"
        url = self._platform.settings.callback_url
        for _ in range(draft.copies if url else 0):
            answer = await _posted(session, url, sent)
            self._tally.note_push(push.kind, answer)
        if push.answered is not None:
            push.answered.set_result(answer)


async def _posted(session: ClientSession, url: str, sent: Letter) -> str:
    """How the receiver answered: `success`, or what else."""
    try:
        async with session.post(
            url, params=sent.query, data=sent.body, headers=_XML
        ) as response:
            text = (await response.text(errors="replace"))[:200]
    except TimeoutError:
        return "timeout"
    except (ClientError, OSError):
        return "unreachable"
    return text if response.status == 200 else f"{response.status} {text}"
