"""What the scheduler does for actions: old orders and files go."""

from datetime import datetime, timedelta

from oleada_server import config as settings
from oleada_server.actions import answers, uploads


def prune(now: datetime) -> int:
    """Delete files after two weeks and orders as long as other events are kept."""
    days = settings.current().event_keep_days
    return uploads.prune(now) + answers.prune(now - timedelta(days=days))
