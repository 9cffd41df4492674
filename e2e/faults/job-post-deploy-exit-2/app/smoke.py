import sys

print("the new version does not do what it should", flush=True)
sys.exit(2)
