import sys

print("going away", flush=True)
sys.exit(3)
