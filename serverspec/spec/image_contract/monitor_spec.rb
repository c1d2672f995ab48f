# frozen_string_literal: true

# The CloudWatch agent, where the image has it, starts with a machine and brings
# nothing along from the bake.

describe command('if dpkg -s amazon-cloudwatch-agent >/dev/null 2>&1; then systemctl is-enabled amazon-cloudwatch-agent; else echo none; fi') do
  its(:stdout) { is_expected.to match(/\A(enabled|none)\n\z/) }
end

describe command("find /opt/aws/amazon-cloudwatch-agent/logs /opt/aws/amazon-cloudwatch-agent/var -type f -size +0 #{BEFORE_BOOT} 2>/dev/null") do
  its(:stdout) { is_expected.to eq '' }
end

# A fire drill lets a machine hang by a diagnostic interrupt.
describe command('systemctl is-enabled panic-on-interrupt.service') do
  its(:stdout) { is_expected.to eq "enabled\n" }
end
