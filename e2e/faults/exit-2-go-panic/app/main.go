package main

func main() {
	var settings map[string]int
	settings["port"] = 8080
}
