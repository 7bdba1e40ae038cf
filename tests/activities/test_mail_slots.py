"""Mail's slots: given way to rendering, within limits."""

import asyncio
from typing import Any

from activities.mail_slots import MailGivesWay

NOBODY: Any = None  # neither context says anything that a slot depends on


async def given(slots: MailGivesWay) -> bool:
    """Whether a slot is given without anything else having to happen."""
    waiting = asyncio.create_task(slots.reserve_slot(NOBODY))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return bool(done)


async def test_a_slot_is_given_while_nothing_is_rendered() -> None:
    assert await given(MailGivesWay(1, rendering=lambda: False))


async def test_no_slot_is_given_while_invoices_are_rendered() -> None:
    rendering = True
    slots = MailGivesWay(1, rendering=lambda: rendering)
    assert not await given(slots)
    rendering = False
    await slots.reserve_slot(NOBODY)


async def test_a_cycle_without_end_does_not_hold_mail_for_ever() -> None:
    await MailGivesWay(1, rendering=lambda: True, patience_seconds=0).reserve_slot(NOBODY)


async def test_only_so_many_slots_are_given_at_once() -> None:
    slots = MailGivesWay(2, rendering=lambda: False)
    await slots.reserve_slot(NOBODY)
    await slots.reserve_slot(NOBODY)
    assert not await given(slots)
    slots.release_slot(NOBODY)
    await slots.reserve_slot(NOBODY)


async def test_mail_is_never_eager() -> None:
    assert MailGivesWay(1, rendering=lambda: False).try_reserve_slot(NOBODY) is None
