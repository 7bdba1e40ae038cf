"""Links into the Temporal Web UI, where each workflow's history is read."""

from urllib.parse import quote

from api.dependencies import Services


def web_ui_url(app: Services, workflow_id: str) -> str:
    """The page of one workflow."""
    base, namespace = app.settings.temporal_ui_url.rstrip("/"), app.settings.temporal_namespace
    return f"{base}/namespaces/{quote(namespace)}/workflows/{quote(workflow_id, safe='')}"
