# frozen_string_literal: true

# Run from outside, against a machine booted from the finished image: what made
# the image must not be on it.

TOOLS = 'puppet|ruby|facter|hiera|serverspec|rspec|rake|augeas|packer'

describe command("dpkg-query -W -f '${Package} ${db:Status-Status}\\n' | grep -E '#{TOOLS}'") do
  its(:stdout) { is_expected.to eq '' }
end

describe command("find / -xdev -regextype posix-extended -iregex '.*/[^/]*(#{TOOLS})[^/]*' " \
                 "-not -path '/proc/*' -not -path '/sys/*' -not -path '/usr/share/zoneinfo/*'") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command("grep -rIlE '#{TOOLS}' /etc /home /root /var/lib/cloud /var/lib/systemd /var/lib/dpkg/statoverride /var/lib/dpkg/diversions 2>/dev/null") do
  its(:stdout) { is_expected.to eq '' }
end

describe command('getent passwd puppet; getent group puppet') do
  its(:stdout) { is_expected.to eq '' }
end
