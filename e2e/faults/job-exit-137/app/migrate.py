import sys

print("leaving with the number of a kill", flush=True)
sys.exit(137)
