"""pandas' own tests of its SQL functions, with ``messages://`` in the place of SQLite."""
