package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// Drift is where a stack's resources are not as its template says, since
// somebody changed them past CloudFormation. Types that CloudFormation cannot
// compare do not count.
type Drift struct {
	Checked   time.Time `json:"checked"`
	Resources []Drifted `json:"resources,omitempty"` // by logical id
	// Problem is why some resources could not be compared, or "".
	Problem string `json:"problem,omitempty"`
}

// Drifted is a resource that is not as the template says.
type Drifted struct {
	Logical string   `json:"logical"`
	Type    string   `json:"type"`
	Gone    bool     `json:"gone,omitempty"` // it does not exist any more
	Paths   []Parted `json:"paths,omitempty"`
}

// Parted is one property that is another one than the template's; "" is one that
// is not there.
type Parted struct {
	Path     string `json:"path"` // /Properties separated by slashes
	Template string `json:"template"`
	Actual   string `json:"actual"`
}

// Lines are the drift for people, one for each property; none: nil.
func (d *Drift) Lines() []string {
	var out []string
	for _, r := range d.Resources {
		if r.Gone {
			out = append(out, fmt.Sprintf("%s (%s) is gone", r.Logical, r.Type))
		}
		for _, p := range r.Paths {
			was, is := apart(show(p.Template), show(p.Actual))
			out = append(out, fmt.Sprintf("%s (%s) %s: %s in the template, %s in the account", r.Logical, r.Type, p.Path, was, is))
		}
	}
	if d.Problem != "" {
		out = append(out, "not all could be compared: "+d.Problem)
	}
	return out
}

// capacity are a group's properties that change without anybody's hand, and that a
// release keeps as they are.
var capacity = []string{"/DesiredCapacity", "/MinSize", "/MaxSize"}

// Drift has CloudFormation compare the stack with its template, which takes it a
// minute or so, and changes nothing. Capacity is left out: it is compared on its own.
func (s *Stack) Drift(ctx context.Context) (*Drift, error) {
	var id *string
	out := &Drift{}
	err := s.wait(ctx, func(ctx context.Context) (bool, bool, error) {
		r, err := s.cfn.DetectStackDrift(ctx, &cloudformation.DetectStackDriftInput{StackName: &s.Name})
		switch {
		case err != nil && strings.Contains(message(err), "already in progress"):
			return false, false, nil // somebody else's; ours comes next
		case code(err) == "ValidationError" && !absent(err):
			out.Problem = message(err) // CloudFormation cannot tell in every status
			return true, true, nil
		case err != nil:
			return false, false, err
		}
		id = r.StackDriftDetectionId
		return true, true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("detect drift of %s: %w", s.Name, err)
	}
	if id == nil {
		return out, nil
	}
	err = s.wait(ctx, func(ctx context.Context) (bool, bool, error) {
		r, err := s.cfn.DescribeStackDriftDetectionStatus(ctx, &cloudformation.DescribeStackDriftDetectionStatusInput{StackDriftDetectionId: id})
		if err != nil {
			return false, false, err
		}
		out.Checked = aws.ToTime(r.Timestamp).UTC()
		switch r.DetectionStatus {
		case types.StackDriftDetectionStatusDetectionComplete:
			return true, true, nil
		case types.StackDriftDetectionStatusDetectionFailed: // what was compared can be read
			out.Problem = aws.ToString(r.DetectionStatusReason)
			return true, true, nil
		}
		return false, false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("detect drift of %s: %w", s.Name, err)
	}
	err = s.retry(ctx, "read the drift of "+s.Name, func(ctx context.Context) error {
		out.Resources = nil
		in := &cloudformation.DescribeStackResourceDriftsInput{
			StackName:                       &s.Name,
			StackResourceDriftStatusFilters: []types.StackResourceDriftStatus{types.StackResourceDriftStatusModified, types.StackResourceDriftStatusDeleted},
		}
		for {
			page, err := s.cfn.DescribeStackResourceDrifts(ctx, in)
			if err != nil {
				return err
			}
			for _, r := range page.StackResourceDrifts {
				if n := drifted(r); n.Gone || len(n.Paths) > 0 {
					out.Resources = append(out.Resources, n)
				}
			}
			if aws.ToString(page.NextToken) == "" {
				return nil
			}
			in.NextToken = page.NextToken
		}
	})
	slices.SortFunc(out.Resources, func(a, b Drifted) int { return strings.Compare(a.Logical, b.Logical) })
	return out, err
}

func drifted(r types.StackResourceDrift) Drifted {
	n := Drifted{Logical: aws.ToString(r.LogicalResourceId), Type: aws.ToString(r.ResourceType), Gone: r.StackResourceDriftStatus == types.StackResourceDriftStatusDeleted}
	for _, p := range r.PropertyDifferences {
		path := aws.ToString(p.PropertyPath)
		if n.Type == typeGroup && slices.Contains(capacity, path) {
			continue
		}
		n.Paths = append(n.Paths, Parted{path, aws.ToString(p.ExpectedValue), aws.ToString(p.ActualValue)})
	}
	slices.SortFunc(n.Paths, func(a, b Parted) int { return strings.Compare(a.Path, b.Path) })
	return n
}
