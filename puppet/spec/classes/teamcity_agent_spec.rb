# frozen_string_literal: true

describe 'teamcity::agent' do
  let(:facts) { { 'role' => 'teamcity_agent' } }
  let(:params) { { checksum: 'ab' * 32 } }
  let(:properties) { '/opt/teamcity-agent/conf/buildAgent.properties' }

  it { is_expected.to compile.with_all_deps }

  it 'installs the agent only with its checksum' do
    is_expected.to contain_exec('fetch /opt/teamcity-agent').with_command(/sha256sum -c .*unzip -q/m).with_creates('/opt/teamcity-agent/bin/agent.sh')
  end

  it 'leaves the properties to the agent once they are written, without a token' do
    is_expected.to contain_file(properties).with(replace: false, mode: '0600', owner: 'teamcity-agent')
      .with_content(%r{^serverUrl=https://ci.hello.example$}).with_content(/^name=$/).with_content(/^authorizationToken=$/)
  end

  it 'starts at boot, and survives its own update' do
    is_expected.to contain_service('teamcity-agent.service').with_enable(true)
    is_expected.to contain_file('/etc/systemd/system/teamcity-agent.service').with_content(/^Type=oneshot$/).with_content(/^SuccessExitStatus=0 143$/)
  end

  it 'asks its stack whose agent it is' do
    is_expected.to contain_file('/usr/local/sbin/teamcity-agent-prepare').with_mode('0755').with_content(/user-data/)
    is_expected.to contain_file('/etc/systemd/system/teamcity-agent.service').with_content(%r{^ExecStartPre=\+/usr/local/sbin/teamcity-agent-prepare$})
  end

  context 'with a sum that nobody has looked up' do
    let(:params) { { checksum: '0' * 64 } }

    it { is_expected.to compile.and_raise_error(/teamcity::agent::checksum is not known yet/) }
  end

  context 'with a name' do
    let(:params) { super().merge(agent_name: 'agent-1') }

    it { is_expected.to contain_file(properties).with_content(/^name=agent-1$/) }
  end

  context 'with an old version' do
    let(:params) { super().merge(version: '2026.1.3') }

    it { is_expected.to compile.and_raise_error(/lets strangers in/) }
  end

  { server: 'http://ci.hello.example', agent_name: 'a b', checksum: 'abc' }.each do |name, value|
    context "with #{name} #{value}" do
      let(:params) { super().merge(name => value) }

      it { is_expected.to compile.and_raise_error(/#{name}/) }
    end
  end
end
