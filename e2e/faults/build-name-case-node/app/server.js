require('http').createServer((_, answer) => answer.end('Hello\n')).listen(8080)
