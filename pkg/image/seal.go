package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/compute"
	"github.com/build-deploy-chain/chain/pkg/provenance"
	"github.com/build-deploy-chain/chain/pkg/provenance/kms"
	"github.com/build-deploy-chain/chain/pkg/report"
)

// What the trail keeps of each image: below a directory of its own, for ever.
const (
	statementFile = "statement.json" // the signed story, in a DSSE envelope
	inventoryFile = "inventory.json"
	sbomFile      = "sbom.cdx.json"
)

func fileOf(ami, name string) string { return "cloudformation/evidence/images/" + ami + "/" + name }

// StatementPath is where the signed statement about an image is.
func StatementPath(ami string) string { return fileOf(ami, statementFile) }

// builderID names what builds these images, in their provenance.
const builderID = "https://github.com/build-deploy-chain/chain/pkg/image"

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// signer is the key that the target says, made if it says so, too.
func signer(ctx context.Context, o Options) (provenance.Signer, error) {
	key := o.Target.Signing.Key
	var s provenance.Signer
	var err error
	switch {
	case key == "":
		return nil, &report.Failure{
			Code: report.Usage, ID: "E-PROV-02", What: "no key is configured to sign images with", State: "nothing was made",
			Next: []string{"set signing.key in chain.yaml: a file with an ed25519 key, or the ARN of a KMS key"},
		}
	case strings.HasPrefix(key, "arn:"):
		cfg, err := o.Target.AWS(ctx)
		if err != nil {
			return nil, err
		}
		return kms.Open(ctx, cfg, key)
	case o.Target.Signing.Make:
		var k *provenance.FileKey
		if k, err = provenance.MakeKey(key); err == nil {
			s, err = k, provenance.WritePublic(key+".pub", k.Public())
		}
	default:
		s, err = provenance.OpenKey(key)
	}
	if err != nil {
		return nil, &report.Failure{
			Code: report.Usage, ID: "E-PROV-02", What: "the key that signs images cannot be used", Where: key, State: "nothing was made",
			Next: []string{"see signing.key in chain.yaml"}, Err: err,
		}
	}
	return s, nil
}

// trusted are the keys whose statements count.
func trusted(o Options) (provenance.Trusted, error) {
	t := provenance.Trusted{}
	for _, path := range o.Target.Signing.Trusted {
		k, err := provenance.ReadPublic(path)
		if o.Target.Signing.Make && errors.Is(err, os.ErrNotExist) {
			continue // no image was made yet
		}
		if err != nil {
			return nil, err
		}
		if err := t.Add(k); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// lasting are the tags that an image and its snapshots carry for good.
func lasting(o Options, s *State) compute.Tags {
	r := s.Result.Recipe
	t := compute.Tags{
		TagState: Good, TagKey: r.Key, TagRole: o.Role, TagBase: r.Base.ID, TagPuppet: r.Tools["puppet"], TagServerspec: r.Tools["serverspec"],
	}
	// Who goes on with an image that an earlier run made keeps what that one said.
	t[TagCommit], t[TagPacker] = s.image.Tags[TagCommit], s.image.Tags[TagPacker]
	if t[TagCommit] == "" {
		t[TagCommit] = r.Commit
	}
	if len(s.Result.Inventory.Packages) > 0 {
		t[TagContent] = s.Result.Inventory.Digest()
		t[TagPackages] = digest([]byte(strings.Join(s.Result.Inventory.PackageLines(), "\n") + "\n"))
		t[TagExamples] = fmt.Sprintf("%d passed", s.Result.Examples)
		t[TagBuilder] = builderID
	}
	maps.DeleteFunc(t, func(_, v string) bool { return v == "" })
	return t
}

// seal writes and signs what is known of the image. The files go into the trail.
func seal(ctx context.Context, o Options, s *State) (map[string][]byte, error) {
	key, err := signer(ctx, o)
	if err != nil {
		return nil, err
	}
	i, r := s.image, s.Result.Recipe
	inventory, err := json.MarshalIndent(s.Result.Inventory, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write down the inventory of %s: %w", i.ID, err)
	}
	bom, err := sbom(*i, s.Result.Inventory)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{fileOf(i.ID, inventoryFile): append(inventory, '\n'), fileOf(i.ID, sbomFile): bom}
	story := provenance.Story{
		Image: i.ID, Name: i.Name, Region: o.Target.Region, Account: o.Target.Account, Snapshots: slices.Sorted(slices.Values(i.Snapshots)),
		Content: s.Result.Inventory.Digest(), Tags: lasting(o, s), Key: r.Key, Role: o.Role, Commit: lasting(o, s)[TagCommit],
		Base:  provenance.Material{ID: r.Base.ID, Name: r.Base.Name, Owner: r.Base.Owner},
		Parts: r.Parts, Files: r.Files, Tools: maps.Clone(r.Tools), Builder: builderID, Run: o.Run, Began: s.began.UTC(), Ended: o.Clock.Now().UTC(),
		Copy: s.copyOf, Examples: s.Result.Examples, Products: map[string]string{},
	}
	if p := lasting(o, s)[TagPacker]; p != "" {
		story.Tools["packer"] = p
	}
	for path, b := range files {
		story.Products[path[strings.LastIndex(path, "/")+1:]] = digest(b)
	}
	envelope, err := provenance.Seal(ctx, key, story)
	if err != nil {
		return nil, err
	}
	files[StatementPath(i.ID)] = envelope
	return files, nil
}

// Verify is the story of an image, if a trusted key vouches for it and the image
// is what the story says: id, snapshots, tags, account and region, and what else
// is on record of it. Any doubt is an error, exit code 5.
func Verify(ctx context.Context, o Options, ami string) (provenance.Story, error) {
	o = o.filled()
	s, err := verify(ctx, o, ami)
	var f *report.Failure
	if err == nil || errors.As(err, &f) || ctx.Err() != nil || !errors.Is(err, provenance.ErrRefused) {
		return s, err
	}
	return s, &report.Failure{
		Code: report.Policy, ID: "E-PROV-05", What: "nobody vouches for image " + ami, Where: o.Target.Account + ", " + o.Target.Region + ", " + StatementPath(ami) + " of the trail",
		State: "production is untouched", Next: []string{"./station.sh image:show " + ami, "./station.sh bake -force  # makes another, which is inspected and signed"}, Err: err,
	}
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %w", provenance.ErrRefused, fmt.Errorf(format, args...))
}

func verify(ctx context.Context, o Options, ami string) (provenance.Story, error) {
	b, ok, err := o.Trail.Read(ctx, StatementPath(ami))
	if err != nil {
		return provenance.Story{}, err
	}
	if !ok {
		return provenance.Story{}, refused("there is no statement about it")
	}
	keys, err := trusted(o)
	if err != nil {
		return provenance.Story{}, refused("%w", err)
	}
	s, err := provenance.Open(keys, b)
	if err != nil {
		return s, err
	}
	if s.Image != ami || s.Region != o.Target.Region || s.Account != o.Target.Account {
		return s, refused("the statement is about %s in account %s, %s", s.Image, s.Account, s.Region)
	}
	i, err := o.Client.Image(ctx, ami)
	if err != nil {
		return s, err
	}
	if i == nil {
		return s, refused("it is not there")
	}
	if i.Owner != s.Account {
		return s, refused("it belongs to account %s", i.Owner)
	}
	if have := slices.Sorted(slices.Values(i.Snapshots)); !slices.Equal(have, s.Snapshots) {
		return s, refused("its snapshots are %v, the statement says %v", have, s.Snapshots)
	}
	if err := tagged(ami, i.Tags, s.Tags); err != nil {
		return s, err
	}
	snapshots, err := o.Client.SnapshotsByID(ctx, s.Snapshots)
	if err != nil {
		return s, err
	}
	if len(snapshots) != len(s.Snapshots) {
		return s, refused("of its %d snapshots %d are there", len(s.Snapshots), len(snapshots))
	}
	for _, sn := range snapshots {
		if err := tagged(sn.ID, sn.Tags, s.Tags); err != nil {
			return s, err
		}
	}
	for name, want := range s.Products {
		b, _, err := o.Trail.Read(ctx, fileOf(ami, name))
		if err != nil {
			return s, err
		}
		if digest(b) != want {
			return s, refused("%s is not what was signed", fileOf(ami, name))
		}
	}
	return s, nil
}

func tagged(id string, is compute.Tags, want map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if is[k] != want[k] {
			return refused("tag %s of %s is %q, the statement says %q", k, id, is[k], want[k])
		}
	}
	return nil
}

// Story is what is on record of an image, whether it is still true or not; false
// if nothing is. What no trusted key has signed is not told.
func Story(ctx context.Context, o Options, ami string) (provenance.Story, bool, error) {
	b, ok, err := o.Trail.Read(ctx, StatementPath(ami))
	if err != nil || !ok {
		return provenance.Story{}, false, err
	}
	keys, err := trusted(o)
	if err != nil {
		return provenance.Story{}, false, err
	}
	s, err := provenance.Open(keys, b)
	return s, err == nil, err
}

// InventoryOf is what is on an image, as recorded when it was inspected; false if
// nothing is on record.
func InventoryOf(ctx context.Context, o Options, ami string) (Inventory, bool, error) {
	var i Inventory
	b, ok, err := o.Trail.Read(ctx, fileOf(ami, inventoryFile))
	if err != nil || !ok {
		return i, false, err
	}
	if err := json.Unmarshal(b, &i); err != nil {
		return i, false, fmt.Errorf("read the inventory of %s: %w", ami, err)
	}
	return i, true, nil
}

// Attest signs a statement about an image that was made and inspected elsewhere,
// and writes it into the trail: for images that come from another pipeline.
func Attest(ctx context.Context, o Options, ami string, r Recipe, inventory Inventory) error {
	o = o.filled()
	i, err := o.Client.Image(ctx, ami)
	if err != nil {
		return err
	}
	if i == nil {
		return noSuchImage(ami, o)
	}
	s := &State{Result: Result{Recipe: r, Inventory: inventory}, image: i, began: o.Clock.Now()}
	if err := o.Client.Tag(ctx, append([]string{i.ID}, i.Snapshots...), lasting(o, s)); err != nil {
		return err
	}
	files, err := seal(ctx, o, s)
	if err != nil {
		return err
	}
	_, err = o.Trail.Write(ctx, attestation(o, ami, files))
	return err
}
