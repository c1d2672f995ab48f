# @summary A TeamCity server behind nginx, with PostgreSQL on the same machine.
#
# An image of it holds no secret and no data: what belongs to one installation
# (data directory, database with its password, certificate) is made by
# teamcity-prepare when it boots, unless it is there. All of it is below one
# directory, on which a volume that outlives the machine may be mounted. The
# services are enabled here and started by the boot.
#
# The server writes into its own directory, so that belongs to its user.
#
# @param version
#   Pinned version; those with known holes are refused.
# @param source
#   Where the distribution comes from: https, or a file of this machine.
# @param checksum
#   Its SHA-256; zeros are refused.
# @param address
#   Name that people and agents use; the certificate is for it.
# @param store
#   Directory of all that lasts: TeamCity's data directory (data), the database's
#   (postgresql), the certificate (tls).
# @param accept_licence
#   Whether somebody has read the vendor's licence and accepts it. Without that
#   a new server waits for a person to do so in a browser.
# @param image_key
#   What /version answers on port 80; the bake gives it as a fact.
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
  Stdlib::Absolutepath $store = '/srv/teamcity',
  Boolean $accept_licence = false,
  String[1] $image_key = pick($facts['image_key'], 'development'),
  String[1] $memory = '-Xmx2g -XX:ReservedCodeCacheSize=640m',
  Hash[String[1], String] $properties = {},
  Optional[Pattern[/\A[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z/]] $bucket = undef,
) {
  teamcity::fixed($version)
  teamcity::known('teamcity::server::checksum', $checksum, $source)

  $data = "${store}/data"
  $home = '/opt/TeamCity'
  $tree = "${home}-${version}"

  include teamcity::java

  # The package would make a database of its own, with an identity that all
  # machines of the image then shared.
  file { ['/etc/postgresql-common', '/etc/postgresql-common/createcluster.d']:
    ensure => directory,
  }
  file { '/etc/postgresql-common/createcluster.d/teamcity.conf':
    ensure  => file,
    owner   => 'root',
    group   => 'root',
    mode    => '0644',
    content => "create_main_cluster = false\n",
  }

  package { ['nginx-light', 'postgresql', 'libpostgresql-jdbc-java', 'git', 'openssl']:
    ensure  => installed,
    require => File['/etc/postgresql-common/createcluster.d/teamcity.conf'],
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
    '/etc/teamcity':
      ensure => directory,
      owner  => 'root',
      group  => 'root',
      mode   => '0755';
    # Copied into the data directory at each boot, since that may be another image's.
    '/etc/teamcity/internal.properties':
      ensure  => file,
      mode    => '0640',
      content => $properties.keys.sort.map |$name| { "${name}=${properties[$name]}\n" }.join;
  }

  file { '/etc/systemd/system/postgresql@15-main.service.d':
    ensure => directory,
  }

  file {
    default:
      ensure => file,
      owner  => 'root',
      group  => 'root',
      mode   => '0644';
    '/usr/local/sbin/teamcity-prepare':
      mode    => '0755',
      content => epp('teamcity/prepare.sh.epp', { 'store' => $store, 'address' => $address });
    '/etc/systemd/system/teamcity-prepare.service':
      content => epp('teamcity/prepare.service.epp');
    '/etc/systemd/system/postgresql@15-main.service.d/teamcity.conf':
      content => "# It ends before its volume is taken away.\n[Unit]\nRequiresMountsFor=${store}\n";
    '/etc/systemd/system/teamcity-server.service':
      content => epp('teamcity/server.service.epp', { 'home' => $home, 'data' => $data, 'memory' => $memory, 'accept_licence' => $accept_licence });
    '/etc/nginx/sites-available/teamcity':
      content => epp('teamcity/nginx.conf.epp', { 'address' => $address, 'image_key' => $image_key, 'store' => $store }),
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

  service { ['teamcity-prepare.service', 'teamcity-server.service', 'nginx.service']:
    enable   => true,
    provider => systemd,
    require  => [Package['nginx-light'], File['/etc/systemd/system/teamcity-prepare.service', '/etc/systemd/system/teamcity-server.service']],
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
