package main

import (
	"io"
	"log"
	"net"
)

// Small on purpose: net/http takes long to compile.
func main() {
	listener, err := net.Listen("tcp", "localhost:8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening")
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		io.WriteString(connection, "HTTP/1.1 204 No Content\r\n\r\n")
		connection.Close()
	}
}
