const net = require("node:net");
const http = require("node:http");

function connect() {
  const queue = net.connect(9999, "127.0.0.1");
  queue.on("error", () => {
    console.log("the queue is not there yet");
    setTimeout(connect, 300);
  });
  queue.on("connect", () => http.createServer((_, response) => response.end("never")).listen(process.env.PORT));
}

connect();
