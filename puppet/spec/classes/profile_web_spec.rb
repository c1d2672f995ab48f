# frozen_string_literal: true

describe 'profile::web' do
  let(:facts) { { 'role' => 'web', 'image_key' => 'k3y' } }

  it { is_expected.to compile.with_all_deps }

  it 'serves the page from one directory on port 80' do
    is_expected.to contain_apache__vhost('web').with(port: 80, docroot: '/var/www/web', default_vhost: true)
    is_expected.to contain_file('/var/www/web/index.html').with_content(/Hello World/).with_mode('0644')
  end

  it 'answers the key of the image at /version' do
    is_expected.to contain_file('/var/www/web/version').with_content("k3y\n")
    is_expected.to contain_file('/var/www/web/index.html').with_content(/k3y/)
  end

  it 'is started at boot' do
    is_expected.to contain_service('httpd').with(ensure: 'running', enable: true)
  end

  it 'lets requests under way end when it is stopped' do
    is_expected.to contain_apache__custom_config('drain').with_content("GracefulShutdownTimeout 60\n")
  end

  it 'loads the tuning of the role from hiera' do
    is_expected.to contain_class('apache').with(
      keepalive: 'On', keepalive_timeout: '5', server_tokens: 'Prod', trace_enable: 'Off', mpm_module: 'event',
    )
    is_expected.to contain_class('apache::mod::event').with_maxrequestworkers('400')
  end

  it 'tells nothing about the machine that baked it' do
    is_expected.not_to contain_file('/etc/apache2/apache2.conf').with_content(/builder/)
  end

  it 'has no module that lists, runs or tells' do
    %w[autoindex cgi cgid status info userdir].each { |name| is_expected.not_to contain_apache__mod(name) }
  end

  context 'without a key' do
    let(:facts) { { 'role' => 'web' } }

    it { is_expected.to contain_file('/var/www/web/version').with_content("development\n") }
  end

  context 'with an address that is no path' do
    let(:params) { { docroot: 'www' } }

    it { is_expected.to compile.and_raise_error(/docroot/) }
  end
end
