"""What is answered about usage events."""

from pydantic import Field

from api.schemas import Schema
from storage.usage.intake import Fate


class EventTaken(Schema):
    """An event of a batch that was not simply accepted."""

    index: int = Field(description="Its place in the batch, from 0.", ge=0)
    event_id: str | None = Field(description="null where it had none.")
    status: Fate
    reason: str = Field(
        description="The field and the remedy; of a duplicate, why it waits if it is set aside."
    )


class BatchTaken(Schema):
    """How many events of a batch were accepted, known before, set aside and rejected."""

    accepted: int
    duplicates: int
    set_aside: int
    rejected: int
    events: list[EventTaken] = Field(description="All but those that were accepted, in order.")
