"""Brings the database's tables up to date. Runs before each rollout, and changes nothing the second time."""

from database import connect

with connect() as connection:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS entries ("
        " id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " text text NOT NULL,"
        " written_at timestamptz NOT NULL DEFAULT now())"
    )
    (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
print(f"the tables are up to date; {count} entries", flush=True)
