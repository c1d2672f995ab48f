package image

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/build-deploy-chain/chain/pkg/compute"
)

// sbom is the package list of an image as a CycloneDX document. Of one image
// there is one: it has no time in it, and its serial number is of its content.
func sbom(i compute.Image, inventory Inventory) ([]byte, error) {
	content := inventory.Digest()
	bom := cdx.NewBOM()
	// A UUID of version 8 (RFC 9562: of one's own making).
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%s-%s-8%s-8%s-%s", content[:8], content[8:12], content[13:16], content[17:20], content[20:32])
	bom.Metadata = &cdx.Metadata{Component: &cdx.Component{
		BOMRef: i.ID, Type: cdx.ComponentTypeOS, Name: i.Name, Version: i.Tags[TagKey],
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: content}},
	}}
	components := make([]cdx.Component, 0, len(inventory.Packages))
	for _, p := range inventory.Packages {
		purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", url.PathEscape(p.Name), strings.ReplaceAll(url.QueryEscape(p.Version), "+", "%20"), p.Architecture)
		components = append(components, cdx.Component{BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl})
	}
	bom.Components = &components
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, fmt.Errorf("write the SBOM of %s: %w", i.ID, err)
	}
	return out.Bytes(), nil
}
