"""Takes all connections there are, and keeps them."""

import os
import time

import psycopg

held = []
while True:
    try:
        held.append(psycopg.connect(os.environ["DATABASE_URL"]))
    except psycopg.OperationalError:
        print(f"{len(held)} connections are held", flush=True)
        time.sleep(0.5)
