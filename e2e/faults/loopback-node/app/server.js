const http = require("node:http");

http.createServer((_, response) => response.end("hello")).listen(8080, "127.0.0.1", () => console.log("listening"));
