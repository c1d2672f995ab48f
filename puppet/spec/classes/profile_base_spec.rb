# frozen_string_literal: true

describe 'profile::base' do
  it { is_expected.to compile.with_all_deps }

  it 'lets nothing update a machine by itself' do
    %w[apt-daily.timer apt-daily-upgrade.timer].each do |timer|
      is_expected.to contain_service(timer).with(ensure: 'stopped', enable: 'mask')
    end
  end

  it 'makes a host key before sshd needs one' do
    is_expected.to contain_file('/etc/systemd/system/ssh-host-key.service').that_comes_before('Service[ssh-host-key.service]')
    is_expected.to contain_service('ssh-host-key.service').with_enable(true)
  end
end
