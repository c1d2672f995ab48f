//go:build ignore

// Runs the targets of magefile.go with nothing installed but Go, from the
// directory it is in:
//
//	go run mage.go -l
package main

import (
	"os"
	"syscall"
)

func main() {
	err := syscall.Exec("station/mage", os.Args, os.Environ())
	println("station/mage:", err.Error())
	os.Exit(1)
}
