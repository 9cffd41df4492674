"""Sets up the role to read only, as roles of reports are."""

import os

import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("ALTER ROLE reports SET default_transaction_read_only = on")
