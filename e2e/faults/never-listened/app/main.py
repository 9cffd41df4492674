import time

while True:
    print("polling for messages", flush=True)
    time.sleep(1)
