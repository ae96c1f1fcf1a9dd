"""SQLAlchemy's test plugin, and this dialect's provisioning, which must be known before the engine is made."""

import pytest

pytest.register_assert_rewrite("sqlalchemy.testing.assertions")

from sqlalchemy.testing.plugin.pytestplugin import *  # noqa: E402, F403  # the plugin finds its hooks by name

from . import provision  # noqa: E402, F401
