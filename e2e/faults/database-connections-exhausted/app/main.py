import os
import time

import psycopg

time.sleep(4)
connection = psycopg.connect(os.environ["DATABASE_URL"])
