import os

import psycopg

# The platform's own authority is in no list of a system.
connection = psycopg.connect(os.environ["DATABASE_URL"], sslmode="verify-full", sslrootcert="system")
