kept = []

from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/fall":
            print("caching everything", flush=True)
            while True:
                kept.append(bytearray(b"x") * (64 << 20))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\\n")


print("listening on 8080", flush=True)
HTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
