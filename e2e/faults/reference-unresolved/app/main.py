import os
import sys

url = os.environ["DATABASE_URL"]
if not url.startswith("postgres"):
    sys.exit(f"cannot read the database URL {url}")
