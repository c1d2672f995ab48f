# What is baked.

variable "role" {
  description = "Role of the machine: names the declared packages, and the Puppet role and the specs unless they have names of their own."
  type        = string
  default     = "web"
}

variable "puppet_class" {
  description = "Class role::NAME that makes the machine; empty: the role's name."
  type        = string
  default     = ""
}

variable "specs" {
  description = "Directory of serverspec/spec that says what is expected; empty: the role's name."
  type        = string
  default     = ""
}

variable "stage" {
  description = "What is made: the image of the role, or an image of the base with the bake's tools, from which later bakes start."
  type        = string
  default     = "image"

  validation {
    condition     = contains(["image", "tools"], var.stage)
    error_message = "The stage must be image or tools."
  }
}

variable "source_ami" {
  description = "Id of the base image, or of one with the bake's tools on it; a literal one: Git must tell what an image was made of."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]{8,17}$", var.source_ami))
    error_message = "The source_ami must be the id of one image: ami- and 8 to 17 hexadecimal digits."
  }
}

variable "image_name" {
  description = "Name of the new image, unique in the account and region."
  type        = string
}

variable "image_key" {
  description = "Digest of the recipe; the machine answers it at /version."
  type        = string
}

variable "tags" {
  description = "Tags of all that the bake makes: builder, volume, image and snapshots."
  type        = map(string)
  default     = {}
}

variable "output_dir" {
  description = "Existing directory that gets manifest.json, out/rspec.json and out/packages.txt; a new one for each bake."
  type        = string
  default     = "."
}

# Where it is baked.

variable "region" {
  description = "AWS region of the bake and of the image."
  type        = string
}

variable "instance_type" {
  description = "Type of the machine that is baked."
  type        = string
  default     = "t3.small"
}

variable "ssh_username" {
  description = "User of the base image who may log in and use sudo."
  type        = string
  default     = "admin"
}

variable "ssh_source_cidrs" {
  description = "From where the builder may be logged in to; empty: Packer asks for this station's public address."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.ssh_source_cidrs, "0.0.0.0/0")
    error_message = "The ssh_source_cidrs must not open the builder to the whole internet."
  }
}

variable "subnet_id" {
  description = "Subnet of the builder; empty: one of the default VPC."
  type        = string
  default     = ""
}

# How AWS is reached, for an endpoint that is not AWS's own.

variable "custom_endpoint_ec2" {
  description = "URL of the EC2 API; empty: AWS's own of the region."
  type        = string
  default     = ""
}

variable "ssh_proxy_host" {
  description = "Host of a SOCKS5 proxy that leads to the builder; empty: none."
  type        = string
  default     = ""
}

variable "ssh_proxy_port" {
  description = "Port of that proxy."
  type        = number
  default     = 0
}

variable "poll_seconds" {
  description = "Seconds between two looks at what AWS is doing."
  type        = number
  default     = 5
}

variable "poll_max_attempts" {
  description = "Looks before Packer gives up."
  type        = number
  default     = 240
}
