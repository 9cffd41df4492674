import socket

socket.create_connection(("cache.internal.example", 6399), timeout=10)
