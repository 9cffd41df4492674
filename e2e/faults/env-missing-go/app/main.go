package main

import (
	"log"
	"os"
)

func main() {
	if os.Getenv("STRIPE_API_KEY") == "" {
		log.Fatal("environment variable STRIPE_API_KEY is not set")
	}
}
