# @summary A TeamCity server behind nginx, with PostgreSQL on the same machine.
#
# An image of it holds no secret and no data: what belongs to one machine
# (password of the database, certificate) is made by teamcity-prepare when it
# boots, unless it is there, and the data directory may be a volume that outlives
# the machine. The services are enabled here and started by the boot.
#
# The server writes into its own directory, so that belongs to its user.
#
# @param version
#   Pinned version; those with known holes are refused.
# @param source
#   Where the distribution comes from: https, or a file of this machine.
# @param checksum
#   Its SHA-256. As long as it is all zeros nothing can be installed.
# @param address
#   Name that people and agents use; the certificate is for it.
# @param data
#   Data directory.
# @param memory
#   Options of the JVM about memory.
# @param properties
#   Internal properties.
# @param bucket
#   S3 bucket that backups go to; without one there are none.
class teamcity::server (
  Teamcity::Version $version,
  Variant[Stdlib::HTTPSUrl, Pattern[/\Afile:\/\/\//]] $source,
  Pattern[/\A[0-9a-f]{64}\z/] $checksum,
  Stdlib::Fqdn $address,
  Stdlib::Absolutepath $data = '/var/lib/teamcity',
  String[1] $memory = '-Xmx2g -XX:ReservedCodeCacheSize=640m',
  Hash[String[1], String] $properties = {},
  Optional[Pattern[/\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z/]] $bucket = undef,
) {
  teamcity::fixed($version)

  $home = '/opt/TeamCity'
  $tree = "${home}-${version}"

  include teamcity::java

  package { ['nginx-light', 'postgresql', 'libpostgresql-jdbc-java', 'git', 'openssl']:
    ensure => installed,
  }

  user { 'teamcity':
    ensure => present,
    system => true,
    home   => $data,
    shell  => '/usr/sbin/nologin',
  }

  teamcity::archive { $tree:
    source   => $source,
    checksum => $checksum,
    owner    => 'teamcity',
    strip    => 1,
    creates  => 'bin/teamcity-server.sh',
  }

  file { $home:
    ensure  => link,
    target  => $tree,
    require => Teamcity::Archive[$tree],
  }

  # Nobody but nginx reaches the server itself.
  exec { 'teamcity: listen on this machine only':
    command => "sed -i 's/<Connector port=\"8111\"/<Connector address=\"127.0.0.1\" port=\"8111\"/' ${tree}/conf/server.xml",
    unless  => "grep -q 'address=\"127.0.0.1\" port=\"8111\"' ${tree}/conf/server.xml",
    path    => ['/usr/bin', '/bin'],
    require => Teamcity::Archive[$tree],
  }

  file {
    default:
      owner => 'teamcity',
      group => 'teamcity';
    [$data, "${data}/config", "${data}/lib", "${data}/lib/jdbc"]:
      ensure => directory,
      mode   => '0750';
    "${data}/lib/jdbc/postgresql.jar":
      ensure  => link,
      target  => '/usr/share/java/postgresql.jar',
      require => Package['libpostgresql-jdbc-java'];
    "${data}/config/internal.properties":
      ensure  => file,
      mode    => '0640',
      content => $properties.keys.sort.map |$name| { "${name}=${properties[$name]}\n" }.join;
  }

  file {
    default:
      ensure => file,
      owner  => 'root',
      group  => 'root',
      mode   => '0644';
    '/usr/local/sbin/teamcity-prepare':
      mode    => '0755',
      content => epp('teamcity/prepare.sh.epp', { 'data' => $data, 'address' => $address });
    '/etc/systemd/system/teamcity-prepare.service':
      content => epp('teamcity/prepare.service.epp');
    '/etc/systemd/system/teamcity-server.service':
      content => epp('teamcity/server.service.epp', { 'home' => $home, 'data' => $data, 'memory' => $memory });
    '/etc/nginx/sites-available/teamcity':
      content => epp('teamcity/nginx.conf.epp', { 'address' => $address }),
      require => Package['nginx-light'];
  }

  file {
    '/etc/nginx/sites-enabled/default':
      ensure  => absent,
      require => Package['nginx-light'];
    '/etc/nginx/sites-enabled/teamcity':
      ensure => link,
      target => '/etc/nginx/sites-available/teamcity';
  }

  service { ['teamcity-prepare.service', 'teamcity-server.service', 'nginx.service', 'postgresql.service']:
    enable   => true,
    provider => systemd,
    require  => [Package['nginx-light', 'postgresql'], File['/etc/systemd/system/teamcity-prepare.service', '/etc/systemd/system/teamcity-server.service']],
  }

  if $bucket {
    package { 'awscli':
      ensure => installed,
    }

    file {
      default:
        ensure => file,
        owner  => 'root',
        group  => 'root',
        mode   => '0644';
      '/usr/local/sbin/teamcity-backup':
        mode    => '0755',
        content => epp('teamcity/backup.sh.epp', { 'home' => $home, 'data' => $data, 'bucket' => $bucket });
      '/etc/systemd/system/teamcity-backup.service':
        content => epp('teamcity/backup.service.epp');
      '/etc/systemd/system/teamcity-backup.timer':
        content => epp('teamcity/backup.timer.epp');
    }

    service { 'teamcity-backup.timer':
      enable   => true,
      provider => systemd,
      require  => File['/etc/systemd/system/teamcity-backup.service', '/etc/systemd/system/teamcity-backup.timer'],
    }
  }
}
