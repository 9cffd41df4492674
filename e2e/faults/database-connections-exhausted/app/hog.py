"""Opens connections until it gets no more, and keeps them."""

import os
import time

import psycopg

held = []
try:
    while True:
        held.append(psycopg.connect(os.environ["DATABASE_URL"]))
except psycopg.OperationalError:
    print(f"{len(held)} connections are held", flush=True)
while True:
    time.sleep(60)
