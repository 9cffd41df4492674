import socket

first = socket.create_server(("0.0.0.0", 8080))
second = socket.socket()
second.bind(("0.0.0.0", 8080))
