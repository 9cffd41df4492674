const net = require("node:net");

console.log("connecting to the queue");
net.connect(9999, "127.0.0.1");
