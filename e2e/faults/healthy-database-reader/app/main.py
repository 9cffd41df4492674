import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        (read_only,) = connection.execute("SHOW transaction_read_only").fetchone()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"read-only is {read_only}\n".encode())


ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
