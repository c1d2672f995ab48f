package cloudwatch

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var dashboardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

func dashboardARN(tx *core.Tx, name string) string {
	return "arn:aws:cloudwatch::" + tx.World.Account + ":dashboard/" + name
}

func noDashboard(name string) error {
	return &wire.Error{Code: "ResourceNotFound", Message: "Dashboard " + name + " does not exist", Status: 404, Shape: "DashboardNotFoundError"}
}

// PutDashboard makes or replaces a dashboard, whose body must be JSON with widgets.
func PutDashboard(tx *core.Tx, in *PutDashboardInput) (*PutDashboardOutput, error) {
	fault := func(text string) error {
		return &wire.Error{Code: "InvalidParameterInput", Message: text, Shape: "DashboardInvalidInputError"}
	}
	if !dashboardName.MatchString(in.DashboardName) {
		return nil, fault("The value for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_).")
	}
	var body struct {
		Widgets *[]struct {
			Type       string          `json:"type"`
			Properties json.RawMessage `json:"properties"`
		} `json:"widgets"`
	}
	if err := json.Unmarshal([]byte(in.DashboardBody), &body); err != nil {
		return nil, fault("The field DashboardBody must be a valid JSON object: " + err.Error())
	}
	if body.Widgets == nil {
		return nil, fault("The dashboard body is invalid, there are 1 validation errors: Should have property 'widgets'")
	}
	for _, w := range *body.Widgets {
		if w.Type == "" || len(w.Properties) == 0 {
			return nil, fault("The dashboard body is invalid, there are 1 validation errors: each widget should have the properties 'type' and 'properties'")
		}
	}
	tx.Region.Dashboards[in.DashboardName] = &state.Dashboard{Name: in.DashboardName, Body: in.DashboardBody, Modified: tx.Now}
	tx.Changed()
	return &PutDashboardOutput{}, nil
}

// GetDashboard tells a dashboard's body.
func GetDashboard(tx *core.Tx, in *GetDashboardInput) (*GetDashboardOutput, error) {
	d := tx.Region.Dashboards[in.DashboardName]
	if d == nil {
		return nil, noDashboard(in.DashboardName)
	}
	return &GetDashboardOutput{DashboardArn: dashboardARN(tx, d.Name), DashboardBody: d.Body, DashboardName: d.Name}, nil
}

// ListDashboards lists dashboards by name.
func ListDashboards(tx *core.Tx, in *ListDashboardsInput) (*ListDashboardsOutput, error) {
	var found []DashboardEntry
	for _, name := range sortedKeys(tx.Region.Dashboards) {
		if d := tx.Region.Dashboards[name]; strings.HasPrefix(name, in.DashboardNamePrefix) {
			found = append(found, DashboardEntry{DashboardName: name, DashboardArn: dashboardARN(tx, name), LastModified: d.Modified, Size: int64(len(d.Body))})
		}
	}
	page, next, err := core.Page(tx, found, func(d DashboardEntry) string { return d.DashboardName }, nil, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &ListDashboardsOutput{DashboardEntries: page, NextToken: next}, nil
}

// DeleteDashboards deletes dashboards; if one is not there, none is deleted.
func DeleteDashboards(tx *core.Tx, in *DeleteDashboardsInput) (*DeleteDashboardsOutput, error) {
	for _, name := range in.DashboardNames {
		if tx.Region.Dashboards[name] == nil {
			return nil, noDashboard(name)
		}
	}
	for _, name := range in.DashboardNames {
		delete(tx.Region.Dashboards, name)
	}
	tx.Changed()
	return &DeleteDashboardsOutput{}, nil
}
