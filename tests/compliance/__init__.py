"""SQLAlchemy's own compliance suite for dialects, run on this one (README.dialects.rst of SQLAlchemy)."""
