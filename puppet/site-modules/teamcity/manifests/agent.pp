# @summary A TeamCity build agent.
#
# The agent registers at the server by its name and writes a token into its
# properties, so these are written once and never again. No token is on an image.
#
# @param version
#   Version of the server it is for; the agent brings itself up to date later.
# @param source
#   Where the agent comes from: https, or a file of this machine.
# @param checksum
#   Its SHA-256; zeros are refused.
# @param server
#   Address of the server.
# @param agent_name
#   Name to register by; without one it is the machine's.
class teamcity::agent (
  Teamcity::Version $version,
  Variant[Stdlib::HTTPSUrl, Pattern[/\Afile:\/\/\//]] $source,
  Pattern[/\A[0-9a-f]{64}\z/] $checksum,
  Stdlib::HTTPSUrl $server,
  Optional[Pattern[/\A[A-Za-z0-9._-]+\z/]] $agent_name = undef,
) {
  teamcity::fixed($version)
  teamcity::known('teamcity::agent::checksum', $checksum, $source)

  $home = '/opt/teamcity-agent'

  include teamcity::java

  package { ['git', 'unzip']:
    ensure => installed,
  }

  user { 'teamcity-agent':
    ensure     => present,
    system     => true,
    home       => '/var/lib/teamcity-agent',
    managehome => true,
    shell      => '/bin/bash',
  }

  teamcity::archive { $home:
    source   => $source,
    checksum => $checksum,
    owner    => 'teamcity-agent',
    creates  => 'bin/agent.sh',
    require  => Package['unzip'],
  }

  file { "${home}/conf/buildAgent.properties":
    ensure  => file,
    replace => false,
    owner   => 'teamcity-agent',
    group   => 'teamcity-agent',
    mode    => '0600',
    content => epp('teamcity/agent.properties.epp', { 'server' => $server, 'agent_name' => $agent_name }),
    require => Teamcity::Archive[$home],
  }

  file { '/usr/local/sbin/teamcity-agent-prepare':
    ensure  => file,
    owner   => 'root',
    group   => 'root',
    mode    => '0755',
    content => epp('teamcity/agent-prepare.sh.epp', { 'home' => $home }),
  }

  file { '/etc/systemd/system/teamcity-agent.service':
    ensure  => file,
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
    content => epp('teamcity/agent.service.epp', { 'home' => $home }),
  }

  service { 'teamcity-agent.service':
    enable   => true,
    provider => systemd,
    require  => File['/usr/local/sbin/teamcity-agent-prepare', '/etc/systemd/system/teamcity-agent.service', "${home}/conf/buildAgent.properties"],
  }
}
