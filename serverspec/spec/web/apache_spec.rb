# frozen_string_literal: true

describe package('apache2') do
  it { is_expected.to be_installed }
end

describe service('apache2') do
  it { is_expected.to be_enabled }
  it { is_expected.to be_running }
end

describe port(80) do
  it { is_expected.to be_listening }
end

describe command('apache2ctl configtest') do
  its(:exit_status) { is_expected.to eq 0 }
end

describe command('apache2ctl -M') do
  its(:stdout) { is_expected.to match(/mpm_event_module/) }
  its(:stdout) { is_expected.not_to match(/(status|info|autoindex|cgi|cgid|userdir)_module/) }
end

describe command('systemctl show -p ExecStop apache2') do
  its(:stdout) { is_expected.to match(/graceful-stop/) }
end

describe file('/etc/apache2/conf.d/25-drain.conf') do
  its(:content) { is_expected.to match(/^GracefulShutdownTimeout \d+$/) }
end
