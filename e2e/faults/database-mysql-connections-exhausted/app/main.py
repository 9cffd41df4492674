"""Connects again and again, until it gets no connection any more."""

import time

from shop import connect

while True:
    connect().close()
    time.sleep(1)
