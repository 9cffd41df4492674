from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\\n")


print("closing", flush=True)
import os

os.close(1)
os.close(2)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
