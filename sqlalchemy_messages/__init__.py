"""SQLAlchemy dialect for conversations behind the Assistants threads and messages REST contract.

``create_engine("messages://…")`` needs no import of this package; it offers the tables and classes ready made.
"""

from .mapping import Message, Thread
from .tables import messages, threads, transcript
from .types import JSON, Timestamp

__all__ = ["JSON", "Message", "Thread", "Timestamp", "messages", "threads", "transcript"]
