# @summary Apache with the site's page on port 80.
#
# `/` is the page, `/version` the key of the image that answers, so that every
# answer can be told old or new. The tuning is in data/roles/web.yaml.
#
# @param docroot
#   Directory that is served.
# @param version
#   What /version answers; the bake gives the image's key by the fact image_key.
# @param drain_seconds
#   How long requests under way may take once Apache is told to stop.
class profile::web (
  Stdlib::Absolutepath $docroot = '/var/www/web',
  String[1] $version = pick($facts['image_key'], 'development'),
  Integer[1] $drain_seconds = 60,
) {
  include apache

  apache::vhost { 'web':
    port           => 80,
    priority       => '10',
    default_vhost  => true,
    docroot        => $docroot,
    options        => ['-Indexes'],
    directoryindex => 'index.html',
    headers        => ['always set X-Content-Type-Options nosniff'],
    directories    => [
      { 'path' => $docroot, 'provider' => 'directory', 'options' => ['-Indexes'], 'allow_override' => ['None'] },
      # No extension, hence no type of its own; and an old answer would be a lie.
      { 'path' => '/version', 'provider' => 'location', 'force_type' => 'text/plain', 'headers' => 'set Cache-Control no-store' },
    ],
  }

  file {
    default:
      ensure  => file,
      owner   => 'root',
      group   => 'root',
      mode    => '0644',
      require => File[$docroot];
    "${docroot}/index.html":
      content => epp('profile/web/index.html.epp', { 'version' => $version });
    "${docroot}/version":
      content => "${version}\n";
  }

  # systemd stops Apache by `graceful-stop`: it takes no new connection and
  # finishes the requests under way, for so long at most.
  apache::custom_config { 'drain':
    content       => "GracefulShutdownTimeout ${drain_seconds}\n",
    verify_config => false,
  }
}
