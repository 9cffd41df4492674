import socket
import time

for step in range(1000):
    print(f"loading model, part {step} of 1000", flush=True)
    time.sleep(0.3)
