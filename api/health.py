"""Whether the service lives, and whether it can work."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.service import RPCError

from api.dependencies import App, Services
from storage.engine import transaction

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process lives")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="PostgreSQL and Temporal answer",
    responses={
        200: {
            "content": {
                "application/json": {
                    "example": {"postgresql": "ok", "temporal": "ok", "worker": "ok"}
                }
            }
        },
        503: {
            "description": "One of them does not",
            "content": {
                "application/json": {
                    "example": {
                        "postgresql": "no answer",
                        "temporal": "ok",
                        "worker": "ok",
                    }
                }
            },
        },
    },
)
async def readyz(app: App) -> JSONResponse:
    """200 when both answer, 503 with the state of each otherwise.

    `worker` tells whether one has asked for work lately; without one, requests wait in Temporal.
    """
    parts = {
        "postgresql": await run_in_threadpool(_postgresql_answers, app),
        "temporal": await _temporal_answers(app),
    }
    ready = all(parts.values())
    body = {name: "ok" if answers else "no answer" for name, answers in parts.items()}
    body["worker"] = "ok" if await _worker_polls(app) else "none seen"
    return JSONResponse(body, 200 if ready else 503)


def _postgresql_answers(app: Services) -> bool:
    try:
        with transaction(app.engine) as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return False
    return True


async def _temporal_answers(app: Services) -> bool:
    try:
        return await app.temporal.service_client.check_health()
    except (RPCError, RuntimeError):
        return False


async def _worker_polls(app: Services) -> bool:
    queue = TaskQueue(name=app.settings.task_queue)
    try:
        found = await app.temporal.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=app.temporal.namespace,
                task_queue=queue,
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
        )
    except (RPCError, RuntimeError):
        return False
    return len(found.pollers) > 0
