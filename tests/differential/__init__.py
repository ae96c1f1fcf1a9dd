"""The driver beside a plain SQLite table that holds the same rows: the same SQL must answer the same."""
