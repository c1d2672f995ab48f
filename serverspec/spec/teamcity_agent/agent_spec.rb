# frozen_string_literal: true

describe 'the TeamCity agent' do
  describe file('/opt/teamcity-agent/bin/agent.sh') do
    it { is_expected.to be_file }
    it { is_expected.to be_executable }
    it { is_expected.to be_owned_by 'teamcity-agent' }
  end

  describe file('/opt/teamcity-agent/conf/buildAgent.properties') do
    it { is_expected.to be_mode 600 }
    its(:content) { is_expected.to match(%r{^serverUrl=https://}) }
    its(:content) { is_expected.to match(/^authorizationToken=$/) }
  end

  describe service('teamcity-agent.service') do
    it { is_expected.to be_enabled }
  end

  %w[java git].each do |program|
    describe command("command -v #{program}") do
      its(:exit_status) { is_expected.to eq 0 }
    end
  end
end
