import socket
import time

listening = socket.create_server(("0.0.0.0", 8080))
print("listening", flush=True)
while True:
    time.sleep(1)
