"""Makes its database read-only, as an operator does before a move, and goes on writing."""

import os

import psycopg

url = os.environ["DATABASE_URL"]
with psycopg.connect(url, autocommit=True) as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS visits (at timestamptz DEFAULT now())")
    connection.execute("ALTER DATABASE readonly SET default_transaction_read_only = on")
with psycopg.connect(url, autocommit=True) as connection:
    connection.execute("INSERT INTO visits DEFAULT VALUES")
