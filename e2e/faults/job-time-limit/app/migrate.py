import time

print("waiting for a lock", flush=True)
time.sleep(3600)
