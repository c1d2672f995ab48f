locals {
  lasting_tags = merge(var.tags, { Name = var.image_name, role = var.role })
  builder_tags = merge(var.tags, { Name = "bake ${var.image_name}", role = var.role })
}

source "amazon-ebs" "image" {
  region                 = var.region
  custom_endpoint_ec2    = var.custom_endpoint_ec2
  skip_region_validation = var.custom_endpoint_ec2 != ""

  source_ami              = var.source_ami
  instance_type           = var.instance_type
  subnet_id               = var.subnet_id
  ami_name                = var.image_name
  ami_description         = "role ${var.role}, recipe ${var.image_key}"
  ami_virtualization_type = "hvm"

  tags            = local.lasting_tags
  snapshot_tags   = local.lasting_tags
  run_tags        = local.builder_tags
  run_volume_tags = local.builder_tags

  # Packer's defaults leave a stopped machine behind, open SSH to the world,
  # allow IMDSv1 and keep its login key.
  shutdown_behavior                         = "terminate"
  temporary_security_group_source_cidrs     = var.ssh_source_cidrs
  temporary_security_group_source_public_ip = length(var.ssh_source_cidrs) == 0
  ssh_clear_authorized_keys                 = true
  imds_support                              = "v2.0"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # If Packer dies, the builder ends itself: powering off terminates it.
  user_data = <<-SCRIPT
    #!/bin/sh
    systemd-run --unit=bake-deadline --on-active=2h /bin/systemctl poweroff
  SCRIPT

  ssh_username            = var.ssh_username
  ssh_timeout             = "5m"
  ssh_proxy_host          = var.ssh_proxy_host
  ssh_proxy_port          = var.ssh_proxy_port
  temporary_key_pair_type = "ed25519"

  aws_polling {
    delay_seconds = var.poll_seconds
    max_attempts  = var.poll_max_attempts
  }
}
