# frozen_string_literal: true

# Run from outside, against a machine booted from the finished image: what made
# the image must not be on it.

TOOLS = 'puppet|ruby|facter|hiera|serverspec|rspec|rake|augeas|packer'

describe command("dpkg-query -W -f '${Package}\\n' | grep -E '#{TOOLS}'") do
  its(:stdout) { is_expected.to eq '' }
end

# Files that bear their names, but for what packages of the image own (cloud-init
# has a module for Puppet) and what Python compiled from that.
describe command("find / -xdev -regextype posix-extended -iregex '.*/[^/]*(#{TOOLS})[^/]*' " \
                 "-not -path '/proc/*' -not -path '/sys/*' -not -path '*/__pycache__/*' " \
                 '| while read -r path; do dpkg-query -S "$path" >/dev/null 2>&1 || echo "$path"; done') do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

# Accounts, jobs, units and overrides that name them.
describe command('grep -rIlE "puppet|serverspec|facter" /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/sudoers.d ' \
                 '/etc/cron* /etc/systemd /etc/init.d /etc/default /etc/logrotate.d /etc/apt /root /home ' \
                 '/var/lib/dpkg/statoverride /var/lib/dpkg/diversions /var/lib/systemd') do
  its(:stdout) { is_expected.to eq '' }
end
