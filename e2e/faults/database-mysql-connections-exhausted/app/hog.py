"""Takes all connections there are, and keeps them."""

import time

import pymysql

from shop import connect

held = []
while True:
    try:
        held.append(connect())
    except pymysql.err.OperationalError:
        print(f"{len(held)} connections are held", flush=True)
        time.sleep(0.5)
