import socket
import time

listening = socket.socket(socket.AF_INET6)
listening.bind(("::1", 8080))
listening.listen()
print("listening", flush=True)
time.sleep(1000)
