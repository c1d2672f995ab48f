package trail

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	templateDir = "cloudformation/"
	evidenceDir = "cloudformation/evidence/"
)

// Place is one environment of a site in one region.
type Place struct {
	Site        string `json:"site"`
	Environment string `json:"environment"`
	Region      string `json:"region"`
}

// String is SITE/ENVIRONMENT.REGION.
func (p Place) String() string { return p.Site + "/" + p.Environment + "." + p.Region }

// Template is the path of its template.
func (p Place) Template() string { return templateDir + p.String() + ".yaml" }

// Evidence is the path of the record of its last rehearsal.
func (p Place) Evidence() string { return evidenceDir + p.String() + ".json" }

// Record is the path of the record of its last release.
func (p Place) Record() string { return evidenceDir + p.String() + ".release.json" }

// Tag is the name of the tag of release n.
func (p Place) Tag(n int) string {
	return fmt.Sprintf("release/%s/%s/%d", p.Site, p.Environment, n)
}

// LockName is the name of its lock.
func (p Place) LockName() string { return p.Site + "/" + p.Environment }

// tagged is the highest number of the tags that refs hold for it.
func (p Place) tagged(refs map[string]string) int {
	highest := 0
	prefix := "refs/tags/" + strings.TrimSuffix(p.Tag(0), "0")
	for ref := range refs {
		if rest, ok := strings.CutPrefix(ref, prefix); ok {
			if n, err := strconv.Atoi(rest); err == nil && n > highest {
				highest = n
			}
		}
	}
	return highest
}
