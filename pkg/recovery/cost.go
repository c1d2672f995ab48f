package recovery

import (
	"fmt"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/config"
)

// prices are AWS's of an hour in dollars, on demand, in us-east-1: from memory of the
// price lists, to tell cents from dollars. Regions differ by a fifth.
var prices = map[string]float64{
	"t3.micro": 0.0104, "t3.small": 0.0208, "t3.medium": 0.0416, "t3.large": 0.0832, "t4g.micro": 0.0084, "t4g.small": 0.0168, "t4g.medium": 0.0336,
	"m6i.large": 0.096, "m7i.large": 0.1008, "c6i.large": 0.085,
	"db.t3.micro": 0.018, "db.t3.small": 0.036, "db.t4g.micro": 0.016, "db.t4g.small": 0.032, "db.t4g.medium": 0.065, "db.m6g.large": 0.159,
}

const balancerHour, addressHour = 0.0225, 0.005

// cost estimates what an environment costs that stands for a while, and a bake's
// two machines if there is one. Machines are billed for a minute at least,
// databases for ten, balancers for an hour.
func cost(e *config.Environment, stood time.Duration, bakes bool) string {
	hours := func(least time.Duration) float64 { return max(stood, least).Hours() }
	var unknown []string
	price := func(kind string) float64 {
		p, ok := prices[kind]
		if !ok {
			unknown = append(unknown, kind)
		}
		return p
	}
	n := float64(e.Sizes.Instances)
	sum := n*price(e.Sizes.InstanceType)*hours(time.Minute) + balancerHour*max(1, hours(0)) + (n+float64(e.Sizes.Zones))*addressHour*hours(time.Minute)
	if d := e.Database; d != nil {
		p := price(d.Class)
		if d.MultiAZ {
			p *= 2
		}
		sum += p * hours(10*time.Minute)
	}
	if bakes {
		sum += 2 * price(e.Sizes.InstanceType) * hours(15*time.Minute)
	}
	text := fmt.Sprintf("about %.2f USD by list prices, without storage and traffic", sum)
	if len(unknown) > 0 {
		text += ", nor " + strings.Join(unknown, ", ") + ", whose price is not known here"
	}
	return text
}
