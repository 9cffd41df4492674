"""Where the database is."""

import os
import ssl
from urllib.parse import urlparse

import pymysql

url = urlparse(os.environ["DATABASE_URL"])
authority = ssl.create_default_context(cadata=os.environ["DATABASE_CA"])


def connect():
    return pymysql.connect(
        host=url.hostname, port=url.port, user=url.username, password=url.password, database=url.path[1:], ssl=authority
    )
