import socket

listening = socket.create_server(("0.0.0.0", 8080))
print("listening", flush=True)
while True:
    connection, _ = listening.accept()
    connection.sendall(b"220 mail.example.com ESMTP\r\n")
    connection.close()
