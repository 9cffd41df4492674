"""Fills its Redis until that takes no more."""

import os

import redis

with open("/tmp/ca.crt", "w") as authority:
    authority.write(os.environ["REDIS_CA"])
connection = redis.from_url(os.environ["REDIS_URL"], ssl_ca_certs="/tmp/ca.crt")
page = os.urandom(1 << 23)
while True:
    connection.rpush("archive", page)
