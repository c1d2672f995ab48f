# frozen_string_literal: true

# Logs, caches and temporary files of the bake are not on the image.

describe command("find /var/log -type f -size +0 #{BEFORE_BOOT}") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command('ls -A /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/log/puppet 2>/dev/null | grep -v "^$"') do
  its(:stdout) { is_expected.not_to match(/puppet|history\.log/) }
end

describe command("find /tmp /var/tmp -mindepth 1 #{BEFORE_BOOT}") do
  its(:exit_status) { is_expected.to eq 0 }
  its(:stdout) { is_expected.to eq '' }
end

describe command('systemctl is-system-running; systemctl --failed --no-legend --plain') do
  its(:stdout) { is_expected.to match(/\A(running|starting)\n\z/) }
end

describe command('systemctl is-enabled apt-daily.timer apt-daily-upgrade.timer') do
  its(:stdout) { is_expected.to eq "masked\nmasked\n" }
end

# Nothing of the lab or the bake has been told the machine to start by itself.
describe command("systemctl list-unit-files --state=enabled --no-legend --plain | awk '{ print $1 }' | grep -iE 'chain|packer|puppet'") do
  its(:stdout) { is_expected.to eq '' }
end
