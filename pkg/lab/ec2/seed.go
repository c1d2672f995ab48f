package ec2

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
)

// Debian is the account that publishes the base image.
const Debian = "136693071363"

// Base is the image that every region offers from the start.
type Base struct {
	Name   string // "debian-12-amd64-20260101-1"; "" for that of the release date below
	Digest string // of what it is made of: another digest is another AMI
}

// BaseImageID is the id of the base image in a region: the same wherever the
// digest is the same, so that two labs agree.
func BaseImageID(region, digest string) string {
	sum := sha256.Sum256([]byte("base\n" + region + "\n" + digest))
	return "ami-0" + hex.EncodeToString(sum[:8])
}

const baseName = "debian-12-amd64-20250101-0001"

var baseCreated = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Seed gives a region what a new account has in it: the default VPC with its
// subnets, and the base image. It does nothing the second time, except that the
// base image of another digest takes the place of the one before.
func Seed(tx *core.Tx, base Base) {
	seedImage(tx, base)
	if tx.Region.Seeded {
		return
	}
	tx.Region.Seeded = true
	v := makeVpc(tx, "172.31.0.0/16")
	v.Default, v.DNSHostnames = true, true
	g := &state.InternetGateway{ID: tx.ID("igw"), VPCID: v.ID, Tags: state.Tags{}}
	tx.Region.InternetGateways[g.ID] = g
	for _, t := range tx.Region.RouteTables {
		if t.VPCID == v.ID {
			t.Routes = append(t.Routes, state.Route{Destination: "0.0.0.0/0", Gateway: g.ID})
		}
	}
	for k, az := range Zones(tx.Region.Name) {
		s := &state.Subnet{ID: tx.ID("subnet"), VPCID: v.ID, CIDR: fmt.Sprintf("172.31.%d.0/20", k*16), AZ: az, PublicOnLaunch: true, Default: true, Tags: state.Tags{}}
		tx.Region.Subnets[s.ID] = s
	}
}

func seedImage(tx *core.Tx, base Base) {
	id := BaseImageID(tx.Region.Name, base.Digest)
	if tx.Region.Images[id] != nil {
		return
	}
	for old, img := range tx.Region.Images {
		if img.Owner == Debian && img.Ref == runtime.Base {
			delete(tx.Region.Images, old) // its content is not there any more
		}
	}
	name := base.Name
	if name == "" {
		name = baseName
	}
	tx.Region.Images[id] = &state.Image{
		ID: id, Name: name, Description: "Debian 12 (the lab's base image)", State: "available", Owner: Debian, Public: true, Architecture: "x86_64",
		RootDevice: "/dev/xvda", SnapshotID: "snap-" + id[len("ami-"):], Created: baseCreated, SizeGiB: 8, Ref: runtime.Base, Tags: state.Tags{},
	}
}

// AddImage puts an image into the world that the runtime already has under
// ref, as one of the account's own: what tests and spoiled images need.
func AddImage(tx *core.Tx, name, ref string, tags map[string]string) (string, error) {
	if err := checkImageName(tx, name); err != nil {
		return "", err
	}
	img := &state.Image{
		ID: tx.ID("ami"), Name: name, State: "available", Owner: tx.World.Account, Architecture: "x86_64", RootDevice: "/dev/xvda", Created: tx.Now,
		SizeGiB: 8, Ref: ref, Tags: state.Tags{},
	}
	for k, v := range tags {
		img.Tags[k] = v
	}
	img.SnapshotID = addSnapshot(tx, &state.Volume{ID: "vol-ffffffff", SizeGiB: 8}, "Added for "+img.ID, "completed", state.Tags{})
	tx.Region.Images[img.ID] = img
	return img.ID, nil
}
