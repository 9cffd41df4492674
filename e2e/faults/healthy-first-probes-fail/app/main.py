import time
from http.server import BaseHTTPRequestHandler, HTTPServer

began = time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.monotonic() - began > 2.5 else 503)
        self.end_headers()
        self.wfile.write(b"hello\n")


print("listening", flush=True)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
