import socket
import time

listening = socket.create_server(("127.0.0.1", 8080))
print("listening", flush=True)
time.sleep(4)
listening.close()
time.sleep(1000)
