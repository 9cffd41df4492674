const http = require("node:http");

console.log("connecting");
setTimeout(() => {
  http.createServer((_, response) => response.end("hello")).listen(process.env.PORT, () => console.log("listening"));
}, 2000);
