# @summary The Java runtime that server and agent need.
#
# @param package
#   Its package.
class teamcity::java (
  String[1] $package = 'openjdk-17-jre-headless',
) {
  # Its installation links manual pages, also where an image has none.
  file { ['/usr/share/man', '/usr/share/man/man1']:
    ensure => directory,
  }

  package { $package:
    ensure  => installed,
    require => File['/usr/share/man/man1'],
  }
}
