"""Takes the right to create from everybody, as hardened servers have it since PostgreSQL 15."""

import os

import psycopg

with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
    connection.execute("REVOKE CREATE ON SCHEMA public FROM pg_database_owner, PUBLIC")
