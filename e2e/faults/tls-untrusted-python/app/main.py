import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

# Stands for a service of the company, whose certificate its own authority made.
payments = HTTPServer(("127.0.0.1", 9443), BaseHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate.pem", "key.pem")
payments.socket = context.wrap_socket(payments.socket, server_side=True)
threading.Thread(target=payments.serve_forever, daemon=True).start()

print("asking the payment service", flush=True)
urllib.request.urlopen("https://localhost:9443/", timeout=5)
