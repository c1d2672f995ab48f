package release

import (
	"errors"
	"fmt"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// Regions are those that a release of an environment reaches, in their order: where
// chain.yaml says that it is live, or the one that CHAIN_REGION names.
func Regions(c *config.Config, site, environment string) ([]string, error) {
	s, err := c.Site(site)
	if err != nil {
		return nil, usage(err)
	}
	e, err := s.Environment(environment)
	if err != nil {
		return nil, usage(err)
	}
	if one := c.Value("CHAIN_REGION"); one != "" {
		return []string{one}, nil
	}
	return e.Live, nil
}

// Each does the same in one region after another and stops at the first failure,
// which names the regions that are new, and those that are left as they were. The
// same command again finds the former done and goes on with the failed one.
func Each(regions []string, do func(region string) error) error {
	for i, region := range regions {
		err := do(region)
		if err == nil || len(regions) == 1 {
			if err != nil {
				return err
			}
			continue
		}
		var f *report.Failure
		if !errors.As(err, &f) {
			f = &report.Failure{Code: report.Code(err), ID: "E-REL-01", What: "region " + region, Err: err, Next: []string{"the same command again  # it goes on where this one stopped"}}
			err = f
		}
		parts := []string{"stopped in " + region}
		if i > 0 {
			parts = append([]string{"done in " + strings.Join(regions[:i], ", ")}, parts...)
		}
		if rest := regions[i+1:]; len(rest) > 0 {
			parts = append(parts, "not begun, and as old as before, in "+strings.Join(rest, ", "))
		}
		if f.State != "" {
			f.State += "; "
		}
		f.State += strings.Join(parts, "; ")
		return err
	}
	return nil
}

// One refuses several regions for what is about a single one: each has releases of
// its own, and to go back in one that was never reached would go back too far.
func One(regions []string, command string) error {
	if len(regions) == 1 {
		return nil
	}
	f := &report.Failure{Code: report.Usage, ID: "E-CFG-02", What: fmt.Sprintf("there are %d regions, and %s is for one", len(regions), command), State: "nothing was changed"}
	for _, r := range regions {
		f.Next = append(f.Next, "CHAIN_REGION="+r+" ./station.sh "+command)
	}
	return f
}
