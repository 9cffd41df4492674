"""Listens itself and lets its workers answer, as pre-forking servers do."""

import os
import socket

listener = socket.create_server(("", 8080), backlog=64)
while True:
    worker = os.fork()
    if worker == 0:
        model = []
        while True:
            model.append(bytearray(16 << 20))
    os.waitpid(worker, 0)
    print("worker ended, starting another", flush=True)
