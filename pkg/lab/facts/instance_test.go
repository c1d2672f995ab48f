package facts_test

import (
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/build-deploy-chain/chain/pkg/lab/core"
)

// server is a template with a machine of its own and a volume that outlives it.
const server = `
Parameters:
  ImageId: {Type: "AWS::EC2::Image::Id"}
  Kind: {Type: String, Default: t3.micro}
  Greeting: {Type: String, Default: one}
Resources:
  Server:
    Type: AWS::EC2::Instance
    Properties: {ImageId: !Ref ImageId, InstanceType: !Ref Kind, UserData: !Base64 {Ref: Greeting}}
  Disk:
    Type: AWS::EC2::Volume
    DeletionPolicy: Snapshot
    Properties: {AvailabilityZone: !GetAtt Server.AvailabilityZone, Size: 8}
  Attached:
    Type: AWS::EC2::VolumeAttachment
    Properties: {VolumeId: !Ref Disk, InstanceId: !Ref Server, Device: /dev/sdf}
Outputs:
  Ip: {Value: !GetAtt Server.PrivateIp}
`

var instanceFacts = []fact{
	{id: "F420", claim: "An instance is made when it runs; its attributes are its addresses, names, zone and VPC.", source: "[UG:aws-properties-ec2-instance]", check: func(w *world) {
		w.images()
		s := w.made("server", server, with("ImageId", w.image))
		assert.Regexp(w, `^i-[0-9a-f]{17}$`, s.physical("Server"))
		assert.Regexp(w, `^\d+(\.\d+){3}$`, s.outputs()["Ip"])
	}},
	{id: "F421", claim: "A new type or new user data stops the instance and starts it again: it stays the same one.", source: "[UG:aws-properties-ec2-instance]", check: func(w *world) {
		w.images()
		s := w.made("server", server, with("ImageId", w.image))
		id := s.physical("Server")
		require.NoError(w, s.update(server, to("ImageId", w.image, "Kind", "t3.small", "Greeting", "two")))
		s.await("UPDATE_COMPLETE")
		assert.Equal(w, id, s.physical("Server"))
	}},
	{id: "F422", claim: "A new image makes another instance; a volume attached to the old one cannot be attached to the new one before, so the update is rolled back.", source: "[CP] [UG:aws-properties-ec2-ebs-volumeattachment] [INFERRED]", check: func(w *world) {
		w.images()
		s := w.made("server", server, with("ImageId", w.image))
		id := s.physical("Server")
		require.NoError(w, s.update(server, to("ImageId", w.other)))
		s.await("UPDATE_ROLLBACK_COMPLETE")
		assert.Equal(w, id, s.physical("Server"))
		assert.Contains(w, strings.Join(s.history(), "\n"), "is already attached to an instance")
	}},
	{id: "F423", claim: "A volume with DeletionPolicy Snapshot leaves a snapshot when its stack goes, and is itself gone.", source: "[UG:aws-attribute-deletionpolicy]", lab: "the account's snapshots are not asked for", check: func(w *world) {
		s := w.made("server", server, with("ImageId", w.image))
		disk := s.physical("Disk")
		s.remove()
		s.await("DELETE_COMPLETE")
		volumes, snapshots := w.disks()
		assert.NotContains(w, volumes, disk)
		assert.Equal(w, []string{disk}, snapshots)
	}},
	{id: "F424", claim: "An instance waits for the signals of its CreationPolicy, and fails without with \"Failed to receive 1 resource signal(s) within the specified duration\".", source: "[UG:aws-attribute-creationpolicy]", check: func(w *world) {
		w.images()
		body := strings.Replace(server, "    Type: AWS::EC2::Instance\n", "    Type: AWS::EC2::Instance\n    CreationPolicy: {ResourceSignal: {Count: 1, Timeout: PT2M}}\n", 1)
		s := w.create("silent", body, with("ImageId", w.image))
		s.await("ROLLBACK_COMPLETE")
		assert.Contains(w, strings.Join(s.history(), "\n"), "Server CREATE_FAILED: Failed to receive 1 resource signal(s) within the specified duration")
	}},
	{id: "F425", claim: "A bucket's name has small letters only, and its ARN no region and no account.", source: "[UG:aws-properties-s3-bucket]", check: func(w *world) {
		s := w.made("bucket", "Resources:\n  Bucket: {Type: AWS::S3::Bucket}\nOutputs:\n  Arn: {Value: !GetAtt Bucket.Arn}\n")
		assert.Regexp(w, `^[a-z0-9-]+$`, s.physical("Bucket"))
		assert.Equal(w, "arn:aws:s3:::"+s.physical("Bucket"), s.outputs()["Arn"])
	}},
}

// disks are the lab's volumes and the volumes its snapshots are of, those of images apart.
func (w *world) disks() (volumes, snapshots []string) {
	w.lab.Core().View(region, func(tx *core.Tx) {
		for id := range tx.Region.Volumes {
			volumes = append(volumes, id)
		}
		for _, s := range tx.Region.Snapshots {
			if strings.Contains(s.Description, "-snapshot-") {
				snapshots = append(snapshots, s.VolumeID)
			}
		}
	})
	return volumes, snapshots
}
