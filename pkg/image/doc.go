// Package image makes the machine images of roles: it bakes one with Packer,
// proves it on a machine started from it, and writes it into the templates.
//
// An image is known by its key, the digest of everything it is made of: what
// Git has in packer/, puppet/ and serverspec/ at one commit, the role, and the
// base image. Whoever bakes the same key on any machine gets the image that is
// there already. It counts only once it is tagged good, and that is the last
// thing a bake does before it writes the image down.
//
// Everything is tagged in the very call that makes it: key, role, run, purpose
// and an expiry. So what a killed bake left is found by its key: a finished
// image is inspected and used, everything else is removed.
package image

import (
	"time"

	"github.com/build-deploy-chain/chain/pkg/clock"
	"github.com/build-deploy-chain/chain/pkg/command"
	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/config"
	"github.com/build-deploy-chain/chain/pkg/trail"
)

// The tags of everything that a bake makes.
const (
	TagKey        = "chain:key"
	TagRole       = "chain:role"
	TagState      = "chain:state" // "unproven", then "good"
	TagRun        = "chain:run"
	TagPurpose    = "chain:purpose" // "bake" or "inspect"
	TagExpires    = "chain:expires" // RFC 3339, or "never" on what is to stay
	TagCommit     = "chain:commit"
	TagBase       = "chain:base"
	TagPacker     = "chain:packer"
	TagPuppet     = "chain:puppet"
	TagServerspec = "chain:serverspec"
	TagContent    = "chain:content"  // content digest, see Inventory.Digest
	TagPackages   = "chain:packages" // digest of the package list
	TagExamples   = "chain:specs"    // "54 passed"
	TagBuilder    = "chain:builder"

	Good     = "good"
	Unproven = "unproven"
	Never    = "never"
)

// Lifetime is when what a bake made may be swept, unless it turned out good.
const Lifetime = 4 * time.Hour

// Options of a bake.
type Options struct {
	Target *config.Target
	Bake   config.Bake
	Role   string
	// Puppet and Specs name the role's class and its directory of specs, Parameter
	// that of the templates which names the image; "" are Role, Role and ImageId.
	Puppet, Specs, Parameter string
	// Places are the environments whose templates get the image.
	Places []trail.Place
	Clone  *trail.Clone
	Trail  *trail.Trail
	// Home is the region where the image is baked and its base pinned; "" is that of
	// Target. In any other one only a copy is used, never a bake begun.
	Home string
	// Copies are the other regions that get the image.
	Copies []Destination
	// Force bakes although there is a good image.
	Force bool
	// Run is the id of this run.
	Run string
	// Subnet is where machines are started; "" is the default network.
	Subnet string
	// Deadline is how long a machine may take to boot; 0 means five minutes.
	Deadline time.Duration
	// Patience is how long another bake of the same recipe may be at one step,
	// in AWS time, before it is taken for dead; 0 means 45 minutes.
	Patience time.Duration

	Clock  clock.Clock    // nil: the system's
	Runner command.Runner // nil: command.Exec
	Client *compute.Client
}

// Result is what came of a bake.
type Result struct {
	Image   string // AMI id
	Name    string
	Recipe  Recipe
	Reused  bool   // a good image was there
	Made    string // the commit that the reused image was made from
	Adopted bool   // an earlier bake had been cut off after it made the image
	Attempt int
	Phases  []Phase
	// Examples is how many expectations the finished image met.
	Examples int
	Packages []string // "name version", sorted; empty when the image was reused
	// Inventory is what is on the image; empty when it was reused.
	Inventory Inventory
	Log       string // directory of the logs, "" when nothing was made
	Written   trail.Written
}

// Phase is a part of a bake and how long it took.
type Phase struct {
	Name string
	Took time.Duration
}
