const http = require("node:http");

http.createServer((_, response) => response.end("hello")).listen(3000, () => console.log("listening"));
