//go:build ignore

// Runs the targets of magefile.go with nothing installed but Go:
//
//	go run mage.go -l
package main

import (
	"os"

	"github.com/magefile/mage/mage"
)

func main() { os.Exit(mage.Main()) }
