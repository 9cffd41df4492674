import os
import sys

if not os.environ["API_TOKEN"]:
    sys.exit("API_TOKEN must not be empty")
