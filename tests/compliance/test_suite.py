"""The tests, which SQLAlchemy ships."""

from sqlalchemy.testing.suite import *  # noqa: F403  # the way README.dialects.rst has it
