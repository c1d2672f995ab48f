locals {
  state = "/var/tmp/chain" # where the scripts keep their results
  tree  = "/var/tmp/chain/tree"
}

build {
  name    = var.role
  sources = ["source.amazon-ebs.image"]

  provisioner "shell" {
    inline = ["sudo install -d -o \"$(id -u)\" ${local.state} ${local.tree} ${local.tree}/packer"]
  }

  provisioner "file" {
    sources     = ["${path.root}/../puppet", "${path.root}/../serverspec"]
    destination = "${local.tree}/"
  }

  provisioner "file" {
    sources     = ["${path.root}/provision.sh", "${path.root}/purge.sh", "${path.root}/tools.env", "${path.root}/packages"]
    destination = "${local.tree}/packer/"
  }

  # The base image's own first boot comes to its end before ours begins.
  provisioner "shell" {
    inline = [
      "if command -v cloud-init >/dev/null; then sudo cloud-init status --wait >/dev/null || true; fi",
      "sudo -n env ROLE='${var.role}' PUPPET_CLASS='${var.puppet_class}' SPECS='${var.specs}' IMAGE_KEY='${var.image_key}' STATE='${local.state}' STAGE='${var.stage}' bash ${local.tree}/packer/provision.sh",
    ]
  }

  # What has the tools is to keep them: the next bake starts from it.
  provisioner "shell" {
    inline = [
      var.stage == "tools" ? "sudo rm -rf ${local.tree} && sudo apt-get clean" :
      "sudo -n env ROLE='${var.role}' STATE='${local.state}' bash ${local.tree}/packer/purge.sh"
    ]
  }

  provisioner "file" {
    direction   = "download"
    source      = "${local.state}/out/"
    destination = "${var.output_dir}/"
  }

  provisioner "shell" {
    script          = "${path.root}/generalise.sh"
    execute_command = var.stage == "tools" ? "rm -f '{{ .Path }}'" : "sudo -n env STATE='${local.state}' bash '{{ .Path }}'"
    skip_clean      = true # the script removes itself with the rest of /tmp
  }

  # What there is of results is wanted most when the bake fails.
  error-cleanup-provisioner "file" {
    direction   = "download"
    source      = "${local.state}/out/"
    destination = "${var.output_dir}/"
  }

  post-processor "manifest" {
    output     = "${var.output_dir}/manifest.json"
    strip_path = true
    custom_data = {
      role      = var.role
      image_key = var.image_key
    }
  }
}
