import sys

print("fatal", flush=True)
sys.exit(217)
