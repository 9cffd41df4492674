import os

import psycopg

connection = psycopg.connect(os.environ["REPORTS_URL"], connect_timeout=5)
