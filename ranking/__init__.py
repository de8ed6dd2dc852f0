"""Rankers that learn from feedback, and the pipelines that compose them."""

from ranking.contract import Ranker, Request
from ranking.feedback import NO_FEEDBACK, Feedback

__all__ = ["NO_FEEDBACK", "Feedback", "Ranker", "Request"]
