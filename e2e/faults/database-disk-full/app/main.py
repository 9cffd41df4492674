"""Fills its database until the server's disk has no more room."""

import os

import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    # Without a log of its own, so that the server itself goes on.
    connection.execute("CREATE UNLOGGED TABLE IF NOT EXISTS archive (page bytea)")
    # Pages are not made smaller.
    connection.execute("ALTER TABLE archive ALTER COLUMN page SET STORAGE EXTERNAL")
    while True:
        connection.execute(
            "INSERT INTO archive SELECT convert_to(repeat('0123456789abcdef', 65536), 'UTF8') FROM generate_series(1, 16)"
        )
