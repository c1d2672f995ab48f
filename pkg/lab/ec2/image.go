package ec2

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
	"github.com/build-deploy-chain/chain/pkg/lab/runtime"
	"github.com/build-deploy-chain/chain/pkg/lab/state"
	"github.com/build-deploy-chain/chain/pkg/lab/wire"
)

var imageName = regexp.MustCompile(`^[a-zA-Z0-9 ()\[\]./'@_-]{3,128}$`)

func noImage(id string) error {
	return wire.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

// findImage finds an image that this account may see.
func findImage(tx *core.Tx, id string) (*state.Image, error) {
	if !imageID.MatchString(id) {
		return nil, wire.Errorf("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
	}
	img := tx.Region.Images[id]
	if img == nil || !visible(tx, img) {
		return nil, noImage(id)
	}
	return img, nil
}

func visible(tx *core.Tx, img *state.Image) bool {
	return img.Owner == tx.World.Account || img.Public || slices.Contains(img.LaunchUsers, tx.World.Account)
}

// findOwnImage finds an image that this account may change.
func findOwnImage(tx *core.Tx, id string) (*state.Image, error) {
	img, err := findImage(tx, id)
	if err == nil && img.Owner != tx.World.Account {
		return nil, wire.Errorf("AuthFailure", "Not authorized for image:%s", id)
	}
	return img, err
}

func checkImageName(tx *core.Tx, name string) error {
	if !imageName.MatchString(name) {
		return wire.Errorf("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'")
	}
	for _, img := range tx.Region.Images {
		if img.Name == name && img.Owner == tx.World.Account {
			return wire.Errorf("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, img.ID)
		}
	}
	return nil
}

// CreateImage makes an image of an instance's disk. A running one is rebooted for it.
func CreateImage(tx *core.Tx, in *CreateImageInput) (*ImageIdOutput, error) {
	list, err := findInstances(tx, []string{in.InstanceId})
	if err != nil {
		return nil, err
	}
	i := list[0]
	if i.State != "running" && i.State != "stopped" {
		return nil, wire.Errorf("IncorrectState", "Instance %s is not 'running' or 'stopped', it is '%s'", i.ID, i.State)
	}
	if i.State == "running" && yes(in.NoReboot) {
		return nil, wire.Errorf("UnsupportedOperation", "The lab saves stopped machines only: stop instance %s or do without NoReboot", i.ID)
	}
	if err := checkImageName(tx, in.Name); err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSpecifications, "image", "snapshot"); err != nil {
		return nil, err
	}
	v := tx.Region.Volumes[i.VolumeID]
	if v == nil {
		return nil, wire.Errorf("InvalidVolume.NotFound", "The volume '%s' does not exist.", i.VolumeID)
	}
	for _, b := range in.BlockDeviceMappings {
		if b.DeviceName != v.Device && b.NoDevice == "" {
			return nil, wire.Errorf("InvalidBlockDeviceMapping", "The lab's images have their root device %s and no other, not '%s'", v.Device, b.DeviceName)
		}
	}
	img := &state.Image{
		ID: tx.ID("ami"), Name: in.Name, Description: in.Description, State: "pending", Owner: tx.World.Account, Architecture: "x86_64",
		RootDevice: v.Device, SourceInstance: i.ID, SourceImage: i.ImageID, SourceRegion: tx.Region.Name, Created: tx.Now, Encrypted: v.Encrypted,
		SizeGiB: v.SizeGiB, Tags: tagsFor("image", in.TagSpecifications),
	}
	img.Ref = img.ID
	if src := tx.Region.Images[i.ImageID]; src != nil {
		img.Imds = src.Imds
	}
	img.SnapshotID = addSnapshot(tx, v, "Created by CreateImage("+i.ID+") for "+img.ID, "pending", tagsFor("snapshot", in.TagSpecifications))
	tx.Region.Images[img.ID] = img
	tx.Changed()
	return &ImageIdOutput{ImageId: img.ID}, nil
}

func addSnapshot(tx *core.Tx, v *state.Volume, text, status string, tags state.Tags) string {
	s := &state.Snapshot{
		ID: tx.ID("snap"), VolumeID: v.ID, Description: text, State: status, SizeGiB: v.SizeGiB, Encrypted: v.Encrypted, Started: tx.Now, Tags: tags,
	}
	tx.Region.Snapshots[s.ID] = s
	return s.ID
}

// stepImage saves the disk of the source instance, or ends the wait of a copy.
func stepImage(tx *core.Tx, img *state.Image) {
	if img.SourceInstance == "" {
		if tx.Due(img.ReadyAt) {
			img.State = "available"
			tx.Changed()
		}
		return
	}
	i := tx.Region.Instances[img.SourceInstance]
	if i == nil || i.State == "terminated" {
		failImage(tx, img, "Client.InvalidInstanceID.NotFound: the instance is gone")
		return
	}
	again := i.State == "running"
	id, ref, instance, s := img.ID, img.Ref, i.ID, spec(tx, i)
	tx.Go(machineJob(instance), func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().Stop(ctx, instance)
		if err == nil {
			err = tx.Runtime().Save(ctx, instance, ref)
		}
		if again {
			if _, berr := tx.Runtime().Start(ctx, s); err == nil {
				err = berr
			}
		}
		return func(tx *core.Tx) {
			img := tx.Region.Images[id]
			switch {
			case img == nil: // deregistered meanwhile
				discard(tx, ref)
			case err != nil:
				tx.Log().Error("save of an image failed", "image", id, "instance", instance, "error", err)
				failImage(tx, img, "Server.InternalError: "+err.Error())
			default:
				img.State = "available"
			}
			tx.Changed()
		}
	})
}

func failImage(tx *core.Tx, img *state.Image, why string) {
	img.State, img.StateReason = "failed", why
	tx.Changed()
}

func pendingImageOf(tx *core.Tx, snapshot string) bool {
	for _, img := range tx.Region.Images {
		if img.SnapshotID == snapshot && img.State == "pending" {
			return true
		}
	}
	return false
}

// DropImage asks for the removal of an image that is no AMI's from the runtime.
func DropImage(tx *core.Tx, ref string) { discard(tx, ref) }

// discard asks for the removal of an image from the runtime once no AMI of any region has it.
func discard(tx *core.Tx, ref string) {
	if ref == runtime.Base || ref == runtime.Database {
		return
	}
	for _, r := range tx.World.Regions {
		for _, img := range r.Images {
			if img.Ref == ref {
				return
			}
		}
	}
	tx.Region.Trash[ref] = time.Time{}
	tx.Changed()
}

func dropImage(tx *core.Tx, ref string) {
	tx.Go("drop/"+ref, func(ctx context.Context) func(*core.Tx) {
		err := tx.Runtime().RemoveImage(ctx, ref)
		return func(tx *core.Tx) {
			if err == nil {
				delete(tx.Region.Trash, ref)
			} else {
				tx.Log().Error("removal of an image failed", "image", ref, "error", err)
				tx.Region.Trash[ref] = tx.After(retries)
			}
		}
	})
}

// CopyImage copies an image from another region, or within one.
func CopyImage(tx *core.Tx, in *CopyImageInput) (*ImageIdOutput, error) {
	if !KnownRegion(in.SourceRegion) {
		return nil, wire.Errorf("InvalidParameterValue", "Invalid source region: %s", in.SourceRegion)
	}
	src, err := findImage(tx.In(in.SourceRegion), in.SourceImageId)
	if err != nil {
		return nil, err
	}
	if in.ClientToken != "" {
		for _, img := range tx.Region.Images {
			if img.Name == in.Name && img.SourceImage == src.ID && img.SourceRegion == in.SourceRegion && img.Owner == tx.World.Account {
				return &ImageIdOutput{ImageId: img.ID}, nil
			}
		}
	}
	if src.State != "available" {
		return nil, wire.Errorf("InvalidRequest", "Image %s is not available", src.ID)
	}
	if err := checkImageName(tx, in.Name); err != nil {
		return nil, err
	}
	if err := checkTags(in.TagSpecifications, "image", "snapshot"); err != nil {
		return nil, err
	}
	img := &state.Image{
		ID: tx.ID("ami"), Name: in.Name, Description: in.Description, State: "pending", Owner: tx.World.Account, Architecture: src.Architecture,
		RootDevice: src.RootDevice, SourceImage: src.ID, SourceRegion: in.SourceRegion, Created: tx.Now, Encrypted: src.Encrypted || yes(in.Encrypted),
		SizeGiB: src.SizeGiB, Ref: src.Ref, Imds: src.Imds, ReadyAt: tx.After(copyTakes), Tags: state.Tags{},
	}
	if yes(in.CopyImageTags) {
		for k, v := range src.Tags {
			if !strings.HasPrefix(k, "aws:") {
				img.Tags[k] = v
			}
		}
	}
	for k, v := range tagsFor("image", in.TagSpecifications) {
		img.Tags[k] = v
	}
	disk := &state.Volume{ID: "vol-ffffffff", SizeGiB: src.SizeGiB, Encrypted: img.Encrypted}
	img.SnapshotID = addSnapshot(tx, disk, "Copied for DestinationAmi "+img.ID+" from SourceAmi "+src.ID+" for SourceSnapshot "+src.SnapshotID, "pending", tagsFor("snapshot", in.TagSpecifications))
	tx.Region.Images[img.ID] = img
	tx.Changed()
	return &ImageIdOutput{ImageId: img.ID}, nil
}

// RegisterImage is refused: the lab has no snapshots one could boot from.
func RegisterImage(_ *core.Tx, _ *RegisterImageInput) (*ImageIdOutput, error) {
	return nil, wire.Errorf("UnsupportedOperation", "The lab makes images by CreateImage and CopyImage; it cannot boot from a snapshot, so ec2.RegisterImage is not there")
}

// DeregisterImage removes an image, and with DeleteAssociatedSnapshots its snapshots.
func DeregisterImage(tx *core.Tx, in *DeregisterImageInput) (*DeregisterImageOutput, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	if guard(tx, img) != "disabled" {
		return nil, wire.Errorf("OperationNotPermitted", "The image '%s' has deregistration protection enabled. Disable it and try again.", img.ID)
	}
	delete(tx.Region.Images, img.ID)
	out := &DeregisterImageOutput{Return: true}
	if yes(in.DeleteAssociatedSnapshots) {
		r := DeleteSnapshotResult{SnapshotId: img.SnapshotID, ReturnCode: "success"}
		if user := imageOfSnapshot(tx, img.SnapshotID); user != nil {
			r.ReturnCode = "skipped"
		} else {
			delete(tx.Region.Snapshots, img.SnapshotID)
		}
		out.DeleteSnapshotResults = append(out.DeleteSnapshotResults, r)
	}
	if img.State != "pending" { // else the save under way sees that the image is gone
		discard(tx, img.Ref)
	}
	tx.Changed()
	return out, nil
}

func imageOfSnapshot(tx *core.Tx, snapshot string) *state.Image {
	for _, img := range tx.Region.Images {
		if img.SnapshotID == snapshot {
			return img
		}
	}
	return nil
}

// DescribeImages lists the images that this account may see.
func DescribeImages(tx *core.Tx, in *DescribeImagesInput) (*DescribeImagesOutput, error) {
	var list []*state.Image
	if len(in.ImageIds) > 0 {
		for _, id := range in.ImageIds {
			img, err := findImage(tx, id)
			if err != nil {
				return nil, err
			}
			list = append(list, img)
		}
	} else {
		for _, img := range values(tx.Region.Images) {
			hidden := !img.DeprecateAt.IsZero() && !img.DeprecateAt.After(tx.Now) && img.Owner != tx.World.Account && !yes(in.IncludeDeprecated)
			if visible(tx, img) && !hidden {
				list = append(list, img)
			}
		}
	}
	list = slices.DeleteFunc(list, func(img *state.Image) bool {
		return len(in.Owners) > 0 && !slices.ContainsFunc(in.Owners, func(o string) bool { return o == img.Owner || o == "self" && img.Owner == tx.World.Account }) ||
			len(in.ExecutableUsers) > 0 && !slices.ContainsFunc(in.ExecutableUsers, func(u string) bool {
				return u == "all" && img.Public || u == "self" && slices.Contains(img.LaunchUsers, tx.World.Account) || slices.Contains(img.LaunchUsers, u)
			})
	})
	list, err := filter(list, in.Filters, func(img *state.Image) state.Tags { return img.Tags }, func(img *state.Image) attrs {
		return attrs{
			"image-id": one(img.ID), "name": one(img.Name), "state": one(img.State), "architecture": one(img.Architecture), "owner-id": one(img.Owner),
			"root-device-type": one("ebs"), "root-device-name": one(img.RootDevice), "virtualization-type": one("hvm"), "is-public": boolText(img.Public),
			"image-type": one("machine"), "description": one(img.Description), "creation-date": one(wire.Time(img.Created)), "ena-support": boolText(true),
			"hypervisor": one("xen"), "block-device-mapping.snapshot-id": one(img.SnapshotID), "source-instance-id": one(img.SourceInstance),
			"source-image-id": one(img.SourceImage), "source-image-region": one(img.SourceRegion), "owner-alias": nil, "platform": nil,
			"block-device-mapping.volume-type": one("gp3"), "block-device-mapping.encrypted": boolText(img.Encrypted), "manifest-location": one(img.Owner + "/" + img.Name),
		}
	})
	if err != nil {
		return nil, err
	}
	list, next, err := core.Page(tx, list, func(img *state.Image) string { return img.ID }, in.MaxResults, 1000, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &DescribeImagesOutput{NextToken: next}
	for _, img := range list {
		out.Images = append(out.Images, showImage(tx, img))
	}
	return out, nil
}

func showImage(tx *core.Tx, img *state.Image) Image {
	out := Image{
		ImageId: img.ID, Name: img.Name, Description: img.Description, ImageLocation: img.Owner + "/" + img.Name, State: img.State, OwnerId: img.Owner,
		Public: img.Public, Architecture: img.Architecture, ImageType: "machine", RootDeviceName: img.RootDevice, RootDeviceType: "ebs",
		VirtualizationType: "hvm", Hypervisor: "xen", PlatformDetails: "Linux/UNIX", UsageOperation: "RunInstances", EnaSupport: true, SriovNetSupport: "simple",
		CreationDate: wire.Time(img.Created), SourceInstanceId: img.SourceInstance, SourceImageId: img.SourceImage, ImdsSupport: img.Imds, Tags: tagList(img.Tags),
	}
	if img.SourceImage != "" {
		out.SourceImageRegion = img.SourceRegion
	}
	if !img.DeprecateAt.IsZero() {
		out.DeprecationTime = wire.Time(img.DeprecateAt)
	}
	if img.Owner == tx.World.Account {
		out.DeregistrationProtection = guard(tx, img)
	}
	if img.StateReason != "" {
		code, text, _ := strings.Cut(img.StateReason, ": ")
		out.StateReason = &StateReason{Code: code, Message: text}
	}
	b := BlockDeviceMappingShown{DeviceName: img.RootDevice}
	b.Ebs.SnapshotId, b.Ebs.VolumeType, b.Ebs.VolumeSize, b.Ebs.Encrypted, b.Ebs.DeleteOnTermination = img.SnapshotID, "gp3", img.SizeGiB, img.Encrypted, true
	out.BlockDeviceMappings = []BlockDeviceMappingShown{b}
	return out
}

// ModifyImageAttribute changes description, launch permissions or IMDS support.
func ModifyImageAttribute(tx *core.Tx, in *ModifyImageAttributeInput) (*Done, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	perms := LaunchPermissionModifications{}
	if in.LaunchPermission != nil {
		perms = *in.LaunchPermission
	}
	description := in.Description
	switch in.Attribute {
	case "", "launchPermission":
		// Packer sends LaunchPermission.Add beside the older UserId list.
		for _, u := range in.UserIds {
			if in.OperationType == "add" || in.OperationType == "remove" {
				p := LaunchPermission{UserId: u}
				if in.OperationType == "add" {
					perms.Add = append(perms.Add, p)
				} else {
					perms.Remove = append(perms.Remove, p)
				}
			}
		}
		for _, g := range in.UserGroups {
			if in.OperationType == "remove" {
				perms.Remove = append(perms.Remove, LaunchPermission{Group: g})
			} else {
				perms.Add = append(perms.Add, LaunchPermission{Group: g})
			}
		}
	case "description":
		description = &AttributeValue{Value: &in.Value}
		if in.Description != nil {
			description = in.Description
		}
	case "imdsSupport":
	default:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	if description != nil {
		img.Description = str(description.Value)
	}
	if in.ImdsSupport != nil {
		img.Imds = str(in.ImdsSupport.Value)
	}
	for _, p := range perms.Add {
		if p.Group == "all" {
			img.Public = true
		} else if p.UserId != "" && !slices.Contains(img.LaunchUsers, p.UserId) {
			img.LaunchUsers = append(img.LaunchUsers, p.UserId)
		}
	}
	for _, p := range perms.Remove {
		if p.Group == "all" {
			img.Public = false
		}
		img.LaunchUsers = slices.DeleteFunc(img.LaunchUsers, func(u string) bool { return u == p.UserId })
	}
	return done, nil
}

// DescribeImageAttribute tells one attribute of an image.
func DescribeImageAttribute(tx *core.Tx, in *DescribeImageAttributeInput) (*DescribeImageAttributeOutput, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	out := &DescribeImageAttributeOutput{ImageId: img.ID}
	switch in.Attribute {
	case "description":
		out.Description = &AttributeValue{Value: &img.Description}
	case "launchPermission":
		for _, u := range img.LaunchUsers {
			out.LaunchPermissions = append(out.LaunchPermissions, LaunchPermission{UserId: u})
		}
		if img.Public {
			out.LaunchPermissions = append(out.LaunchPermissions, LaunchPermission{Group: "all"})
		}
	case "deregistrationProtection":
		v := showImage(tx, img).DeregistrationProtection
		out.DeregistrationProtection = &AttributeValue{Value: &v}
	default:
		return nil, wire.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid. Unknown attribute.", in.Attribute)
	}
	return out, nil
}

// EnableImageDeprecation says from when on others do not see the image any more.
func EnableImageDeprecation(tx *core.Tx, in *EnableImageDeprecationInput) (*Done, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	if !in.DeprecateAt.After(tx.Now) || in.DeprecateAt.After(tx.Now.AddDate(10, 0, 0)) {
		return nil, wire.Errorf("InvalidParameterValue", "The deprecation date must be in the future and at most 10 years away.")
	}
	img.DeprecateAt = in.DeprecateAt
	return done, nil
}

// DisableImageDeprecation takes it back.
func DisableImageDeprecation(tx *core.Tx, in *ImageIdInput) (*Done, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	img.DeprecateAt = time.Time{}
	return done, nil
}

// EnableImageDeregistrationProtection guards an image.
func EnableImageDeregistrationProtection(tx *core.Tx, in *ImageIdInput) (*GuardOutput, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	img.DeregistrationGuard, img.GuardCooldown, img.GuardUntil = true, yes(in.WithCooldown), time.Time{}
	tx.Changed()
	return &GuardOutput{Return: guard(tx, img)}, nil
}

// cooldown is how long an image with a cool-down is guarded after its protection
// was taken away.
const cooldown = 24 * time.Hour

// DisableImageDeregistrationProtection lets it go, a day later if it was asked for so.
func DisableImageDeregistrationProtection(tx *core.Tx, in *ImageIdInput) (*GuardOutput, error) {
	img, err := findOwnImage(tx, in.ImageId)
	if err != nil {
		return nil, err
	}
	if img.DeregistrationGuard && img.GuardCooldown {
		img.GuardUntil = tx.After(cooldown)
	}
	img.DeregistrationGuard, img.GuardCooldown = false, false
	tx.Changed()
	return &GuardOutput{Return: guard(tx, img)}, nil
}

// GuardOutput answers the two actions about deregistration protection.
type GuardOutput struct{ Return string }

func guard(tx *core.Tx, img *state.Image) string {
	switch {
	case img.DeregistrationGuard && img.GuardCooldown:
		return "enabled-with-cooldown"
	case img.DeregistrationGuard:
		return "enabled-without-cooldown"
	case img.GuardUntil.After(tx.Now):
		return "disabled-with-cooldown"
	}
	return "disabled"
}
