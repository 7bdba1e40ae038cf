"""Links into the Temporal Web UI, where each workflow's history is read."""

from api.dependencies import Services
from workflows.ids import web_ui_page


def web_ui_url(app: Services, workflow_id: str) -> str:
    """The page of one workflow."""
    return web_ui_page(app.settings.temporal_ui_url, app.settings.temporal_namespace, workflow_id)
