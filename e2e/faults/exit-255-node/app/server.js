console.log("leaving");
process.exit(-1);
