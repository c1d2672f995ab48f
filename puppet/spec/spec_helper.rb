# frozen_string_literal: true

# Catalogues of roles and profiles, compiled on this machine for a Debian 12
# one; nothing is applied.
require 'rspec-puppet'

root = File.expand_path('..', __dir__)
debian_modules = '/usr/share/puppet/modules'

RSpec.configure do |config|
  config.module_path = ["#{root}/site-modules", "#{root}/modules", debian_modules].select { |path| File.directory?(path) }.join(':')
  config.environmentpath = File.dirname(root)
  config.manifest = "#{root}/manifests/site.pp"
  config.hiera_config = "#{root}/hiera.yaml"
  config.strict_variables = true
  config.fail_if_no_examples = true
  config.default_facts = {
    'os' => {
      'family' => 'Debian', 'name' => 'Debian', 'architecture' => 'amd64',
      'release' => { 'full' => '12.11', 'major' => '12', 'minor' => '11' },
      'distro' => { 'codename' => 'bookworm', 'id' => 'Debian', 'release' => { 'full' => '12.11', 'major' => '12' } }
    },
    'osfamily' => 'Debian', 'operatingsystem' => 'Debian',
    'operatingsystemrelease' => '12.11', 'operatingsystemmajrelease' => '12',
    'lsbdistcodename' => 'bookworm', 'lsbdistid' => 'Debian', 'lsbdistrelease' => '12.11',
    'kernel' => 'Linux', 'service_provider' => 'systemd', 'systemd' => true,
    'networking' => { 'hostname' => 'builder', 'fqdn' => 'builder.example.com' },
    'hostname' => 'builder', 'fqdn' => 'builder.example.com',
    'path' => '/usr/sbin:/usr/bin:/sbin:/bin'
  }
end
