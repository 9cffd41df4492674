"""Connects again and again, until it gets no connection any more."""

import os
import time

import psycopg

while True:
    psycopg.connect(os.environ["DATABASE_URL"]).close()
    time.sleep(1)
