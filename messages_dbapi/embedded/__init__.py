"""The embedded service: the same REST contract, kept in SQLite, in process or over HTTP."""
