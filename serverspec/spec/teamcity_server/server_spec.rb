# frozen_string_literal: true

describe 'the TeamCity server' do
  describe file('/opt/TeamCity/bin/teamcity-server.sh') do
    it { is_expected.to be_file }
    it { is_expected.to be_executable }
    it { is_expected.to be_owned_by 'teamcity' }
  end

  describe file('/opt/TeamCity/conf/server.xml') do
    its(:content) { is_expected.to match(/address="127\.0\.0\.1" port="8111"/) }
  end

  describe file('/etc/teamcity/internal.properties') do
    it { is_expected.to be_owned_by 'teamcity' }
    it { is_expected.to be_mode 640 }
  end

  # Databases are made by the machines, each its own.
  describe command("find /etc/postgresql /var/lib/postgresql -name main #{BEFORE_BOOT}") do
    its(:stdout) { is_expected.to eq '' }
  end

  describe file('/usr/share/java/postgresql.jar') do
    it { is_expected.to exist }
  end

  describe command('java -version') do
    its(:exit_status) { is_expected.to eq 0 }
  end

  %w[teamcity-prepare teamcity-server nginx].each do |unit|
    describe service("#{unit}.service") do
      it { is_expected.to be_enabled }
    end
  end

  describe file('/etc/nginx/sites-enabled/default') do
    it { is_expected.not_to exist }
  end

  describe user('teamcity') do
    it { is_expected.to have_login_shell '/usr/sbin/nologin' }
  end
end
