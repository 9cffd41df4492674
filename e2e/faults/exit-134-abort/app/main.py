import os

print("assertion failed", flush=True)
os.abort()
