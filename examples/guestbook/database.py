"""The way to the database: what the platform binds, with the server's certificate checked against the platform's own authority."""

import os
import tempfile

import psycopg


def _ca_file():
    """libpq takes the authority's certificate as a file."""
    file = tempfile.NamedTemporaryFile("w", prefix="database-ca-", suffix=".crt", delete=False)
    with file:
        file.write(os.environ["DATABASE_CA"])
    return file.name


CA_FILE = _ca_file()


def connect():
    return psycopg.connect(
        os.environ["DATABASE_URL"], sslmode="verify-full", sslrootcert=CA_FILE, connect_timeout=5
    )
