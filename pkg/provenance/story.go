package provenance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Story is what is known of an image.
type Story struct {
	Image     string   `json:"image"` // AMI id
	Name      string   `json:"name"`
	Region    string   `json:"region"`
	Account   string   `json:"account"`
	Snapshots []string `json:"snapshots"`
	// Content is the content digest: SHA-256, over the package list and the manifest of files.
	Content string `json:"content"`
	// Tags are those that the image and its snapshots must carry.
	Tags map[string]string `json:"tags"`

	Key      string            `json:"key"`
	Role     string            `json:"role"`
	Commit   string            `json:"commit"`
	Base     Material          `json:"base"`
	Parts    map[string]string `json:"parts"` // digests of the recipe's parts
	Files    map[string]string `json:"files"` // the recipe's files, mode and blob
	Tools    map[string]string `json:"tools"` // versions of what made it
	Builder  string            `json:"builder"`
	Run      string            `json:"run"`
	Began    time.Time         `json:"began"`
	Ended    time.Time         `json:"ended"`
	Copy     string            `json:"copy,omitempty"` // the image that this one is a copy of, "REGION AMI"
	Examples int               `json:"examples"`       // expectations that it met
	// Products are the digests of what else came of it, by file name.
	Products map[string]string `json:"products"`
}

// Material is an image that another is made from.
type Material struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Owner string `json:"owner"`
}

// buildType names how these images are built, and how the predicate is to be read.
const buildType = "https://github.com/build-deploy-chain/chain/bake/v1"

const predicateType = "https://slsa.dev/provenance/v1"

// statement is a story as an in-toto statement.
func statement(s Story) ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	story := &structpb.Struct{}
	if err := protojson.Unmarshal(b, story); err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	outside, err := structpb.NewStruct(map[string]any{"role": s.Role, "commit": s.Commit, "base": s.Base.ID, "region": s.Region, "account": s.Account})
	if err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	p := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{
			BuildType: buildType, ExternalParameters: outside,
			InternalParameters: &structpb.Struct{Fields: map[string]*structpb.Value{"story": structpb.NewStructValue(story)}},
			ResolvedDependencies: []*intoto.ResourceDescriptor{
				{Name: "recipe", Digest: map[string]string{"gitCommit": s.Commit}},
				// EC2 tells no digest of an image: its id is all that names it.
				{Name: s.Base.Name, Uri: "aws:ec2:" + s.Region + ":image/" + s.Base.ID},
			},
		},
		RunDetails: &slsa.RunDetails{
			Builder:  &slsa.Builder{Id: s.Builder, Version: s.Tools},
			Metadata: &slsa.BuildMetadata{InvocationId: s.Run, StartedOn: timestamppb.New(s.Began), FinishedOn: timestamppb.New(s.Ended)},
		},
	}
	for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
		if len(s.Parts[part]) == 64 { // a digest, not a name
			p.BuildDefinition.ResolvedDependencies = append(p.BuildDefinition.ResolvedDependencies, &intoto.ResourceDescriptor{Name: part, Digest: map[string]string{"sha256": s.Parts[part]}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Products)) {
		p.RunDetails.Byproducts = append(p.RunDetails.Byproducts, &intoto.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": s.Products[name]}})
	}
	predicate, err := asStruct(p)
	if err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	st := &intoto.Statement{
		Type: intoto.StatementTypeUri, PredicateType: predicateType, Predicate: predicate,
		Subject: []*intoto.ResourceDescriptor{{Name: s.Image, Uri: "aws:ec2:" + s.Region + ":image/" + s.Image, Digest: map[string]string{"sha256": s.Content}}},
	}
	for _, sn := range s.Snapshots {
		st.Subject = append(st.Subject, &intoto.ResourceDescriptor{Name: sn, Uri: "aws:ec2:" + s.Region + ":snapshot/" + sn, Digest: map[string]string{"sha256": s.Content}})
	}
	if err := st.Validate(); err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	out, err := protojson.Marshal(st)
	if err != nil {
		return nil, fmt.Errorf("tell of %s: %w", s.Image, err)
	}
	// protojson spaces at random.
	return plain(out)
}

func asStruct(m proto.Message) (*structpb.Struct, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := &structpb.Struct{}
	return out, protojson.Unmarshal(b, out)
}

func plain(b []byte) ([]byte, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// story reads a statement back, and checks that its subject is what the story tells of.
func story(payload []byte) (Story, error) {
	var s Story
	st := &intoto.Statement{}
	if err := protojson.Unmarshal(payload, st); err != nil {
		return s, fmt.Errorf("read the statement: %w", err)
	}
	if err := st.Validate(); err != nil {
		return s, fmt.Errorf("read the statement: %w", err)
	}
	if st.GetPredicateType() != predicateType {
		return s, fmt.Errorf("read the statement: it is about %s, not %s", st.GetPredicateType(), predicateType)
	}
	b, err := protojson.Marshal(st.GetPredicate())
	if err != nil {
		return s, fmt.Errorf("read the statement: %w", err)
	}
	p := &slsa.Provenance{}
	if err := protojson.Unmarshal(b, p); err != nil {
		return s, fmt.Errorf("read the statement: %w", err)
	}
	if got := p.GetBuildDefinition().GetBuildType(); got != buildType {
		return s, fmt.Errorf("read the statement: it was built by %q, not by a bake", got)
	}
	inside := p.GetBuildDefinition().GetInternalParameters().GetFields()["story"]
	if b, err = protojson.Marshal(inside); err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return s, fmt.Errorf("read the statement: %w", err)
	}
	first := st.GetSubject()[0]
	if first.GetName() != s.Image || first.GetDigest()["sha256"] != s.Content || len(s.Content) != 64 {
		return s, fmt.Errorf("read the statement: its subject %s is not the image %s that it tells of", first.GetName(), s.Image)
	}
	return s, nil
}
