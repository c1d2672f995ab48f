package memory

import (
	"maps"
	"time"
)

// Image is a disk as a value: what the web server of a machine started from it
// answers. Its zero value serves nothing but 404.
type Image struct {
	Pages  map[string]Page // by path, "/" and "/version" for one; every other path is 404
	Off    bool            // no web server is enabled: port 80 is refused
	Broken bool            // every page answers 500
	Slow   time.Duration   // each answer waits this long, by the runtime's clock
	Busy   float64         // how busy the processors are, in percent
	Tired  time.Duration   // Slow and Busy begin this long after a boot
	// Data is what else is on the disk: what somebody put into a database, say.
	Data map[string]string
}

// Page is one answer of a web server.
type Page struct {
	Status int // 0 means 200
	Body   string
}

// Site is an image as a bake makes it: a page that says hello, and /version
// with the image's key.
func Site(hello, key string) Image {
	return Image{Pages: map[string]Page{
		"/":        {Body: hello},
		"/version": {Body: key + "\n"},
	}}
}

// clone is a copy that shares nothing with the original.
func (i Image) clone() Image {
	i.Pages, i.Data = maps.Clone(i.Pages), maps.Clone(i.Data)
	return i
}
