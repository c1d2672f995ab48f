# frozen_string_literal: true

describe 'teamcity::server' do
  let(:facts) { { 'role' => 'teamcity_server' } }
  let(:params) { { checksum: 'ab' * 32 } }

  it { is_expected.to compile.with_all_deps }

  it 'installs the pinned version, and only with its checksum' do
    is_expected.to contain_teamcity__archive('/opt/TeamCity-2026.1.4').with(owner: 'teamcity', checksum: /\A[0-9a-f]{64}\z/)
    is_expected.to contain_exec('fetch /opt/TeamCity-2026.1.4').with_command(/sha256sum -c .*tar -xzf/m).with_creates('/opt/TeamCity-2026.1.4/bin/teamcity-server.sh')
    is_expected.to contain_file('/opt/TeamCity').with(ensure: 'link', target: '/opt/TeamCity-2026.1.4')
  end

  it 'is reached through nginx with TLS only' do
    is_expected.to contain_exec('teamcity: listen on this machine only').with_command(%r{address="127.0.0.1" port="8111"})
    is_expected.to contain_file('/etc/nginx/sites-available/teamcity')
      .with_content(/listen 443 ssl/).with_content(%r{proxy_pass http://127.0.0.1:8111}).with_content(/ssl_protocols TLSv1.2 TLSv1.3;/)
    is_expected.to contain_file('/etc/nginx/sites-enabled/default').with_ensure('absent')
  end

  it 'starts everything at boot, what is its own first' do
    %w[teamcity-prepare teamcity-server nginx].each { |unit| is_expected.to contain_service("#{unit}.service").with_enable(true) }
    is_expected.to contain_file('/etc/systemd/system/teamcity-prepare.service').with_content(/RequiredBy=teamcity-server.service nginx.service/)
    is_expected.to contain_file('/etc/systemd/system/teamcity-server.service')
      .with_content(/^User=teamcity$/).with_content(%r{TEAMCITY_DATA_PATH=/srv/teamcity/data}).with_content(/-Xmx2g/).with_content(/^SuccessExitStatus=0 143$/)
  end

  it 'puts no password and no key on the image' do
    is_expected.not_to contain_file('/srv/teamcity/data/config/database.properties')
    is_expected.to contain_file('/usr/local/sbin/teamcity-prepare').with_content(%r{/dev/urandom}).with_mode('0755')
    is_expected.to contain_file('/etc/postgresql-common/createcluster.d/teamcity.conf').with_content(/create_main_cluster = false/).that_comes_before('Package[postgresql]')
  end

  it 'tells which image answers, and no more without TLS' do
    is_expected.to contain_file('/etc/nginx/sites-available/teamcity')
      .with_content(/listen 80 .*location = .version .*return 200 "development\\n".*return 301 https:/m)
  end

  it 'accepts no licence by itself' do
    is_expected.to contain_file('/etc/systemd/system/teamcity-server.service').without_content(/licenseAgreement/)
  end

  context 'with a licence that somebody accepted' do
    let(:params) { super().merge(accept_licence: true) }

    it { is_expected.to contain_file('/etc/systemd/system/teamcity-server.service').with_content(/-Dteamcity.licenseAgreement.accepted=true/) }
  end

  context 'with a sum that nobody has looked up' do
    let(:params) { { checksum: '0' * 64 } }

    it { is_expected.to compile.and_raise_error(%r{teamcity::server::checksum is not known yet: fetch https://.*puppet/data/roles/teamcity_server.yaml}) }
  end

  context 'with what hiera says as shipped' do
    let(:params) { {} }

    it { is_expected.to compile.and_raise_error(/is not known yet/) }
  end

  it 'has no backup without a bucket' do
    is_expected.not_to contain_service('teamcity-backup.timer')
  end

  context 'with a bucket' do
    let(:params) { super().merge(bucket: 'backups-of-ci') }

    it { is_expected.to compile.with_all_deps }
    it { is_expected.to contain_service('teamcity-backup.timer').with_enable(true) }
    it { is_expected.to contain_file('/usr/local/sbin/teamcity-backup').with_content(%r{s3://backups-of-ci/backup/}).with_content(/maintainDB.sh backup/) }
  end

  context 'with properties' do
    let(:params) { super().merge(properties: { 'b' => '2', 'a' => '1' }) }

    it { is_expected.to contain_file('/etc/teamcity/internal.properties').with_content("a=1\nb=2\n") }
  end

  %w[2026.1.3 2026.1 2025.11.7 2025.11 2025.07.9 2024.12].each do |version|
    context "with version #{version}" do
      let(:params) { super().merge(version: version) }

      it { is_expected.to compile.and_raise_error(/lets strangers in/) }
    end
  end

  %w[2026.1.10 2026.2 2025.11.8 2025.11.10 2027.1].each do |version|
    context "with version #{version}" do
      let(:params) { super().merge(version: version) }

      it { is_expected.to compile }
    end
  end

  { version: 'latest', source: 'http://example.com/TeamCity.tar.gz', checksum: 'abc', bucket: 'a b' }.each do |name, value|
    context "with #{name} #{value}" do
      let(:params) { super().merge(name => value) }

      it { is_expected.to compile.and_raise_error(/#{name}/) }
    end
  end
end
