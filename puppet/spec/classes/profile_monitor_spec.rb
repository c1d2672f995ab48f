# frozen_string_literal: true

describe 'profile::monitor' do
  let(:facts) { { 'role' => 'web' } }
  let(:path_of_config) { '/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json' }

  context 'as hiera has it' do
    it { is_expected.to compile.with_all_deps }
    it { is_expected.not_to contain_package('amazon-cloudwatch-agent') }
  end

  context 'with the agent and no source of it' do
    let(:params) { { agent: true } }

    it { is_expected.to compile.and_raise_error(/no source of the CloudWatch agent: set profile::monitor::package_source/) }
  end

  context 'with a digest that is none' do
    let(:params) { { agent: true, package_source: '/srv/agent.deb', package_sha256: 'latest' } }

    it { is_expected.to compile.and_raise_error(/package_sha256/) }
  end

  context 'with the agent' do
    let(:params) { { agent: true, package_source: 'https://packages.example/agent.deb', package_sha256: 'a' * 64 } }
    let(:told) { JSON.parse(catalogue.resource('file', path_of_config)[:content]) }

    it { is_expected.to compile.with_all_deps }

    it 'installs just that package' do
      is_expected.to contain_file('/var/tmp/chain/amazon-cloudwatch-agent.deb')
        .with(source: 'https://packages.example/agent.deb', checksum: 'sha256', checksum_value: 'a' * 64)
      is_expected.to contain_package('amazon-cloudwatch-agent').with(provider: 'dpkg').that_requires('File[/var/tmp/chain/amazon-cloudwatch-agent.deb]')
    end

    it 'starts at the boot of a machine, not in the bake' do
      is_expected.to contain_service('amazon-cloudwatch-agent').with(enable: true).without_ensure
    end

    it 'tells of a whole group, which alarms look at' do
      metrics = told['metrics']
      expect(metrics['aggregation_dimensions']).to eq [['AutoScalingGroupName'], ['InstanceId']]
      expect(metrics['append_dimensions']).to eq('InstanceId' => '${aws:InstanceId}', 'AutoScalingGroupName' => '${aws:AutoScalingGroupName}')
      expect(metrics['metrics_collected'].keys).to eq %w[mem swap disk]
    end

    it 'ships the logs of system and role, for a while' do
      files = told['logs']['logs_collected']['files']['collect_list']
      expect(files.map { |f| [f['log_group_name'], f['file_path']] }.to_h).to eq(
        '/chain/web/syslog' => '/var/log/syslog', '/chain/web/auth' => '/var/log/auth.log', '/chain/web/cloud-init' => '/var/log/cloud-init-output.log',
        '/chain/web/access' => '/var/log/apache2/access.log', '/chain/web/error' => '/var/log/apache2/error.log'
      )
      expect(files.map { |f| f['retention_in_days'] }.uniq).to eq [30]
    end
  end
end
