# @summary An archive of known content, unpacked: whole or not at all.
#
# @param source
#   Where it comes from: https, or a file of this machine.
# @param checksum
#   Its SHA-256; another content is never unpacked.
# @param owner
#   Whom all of it belongs to.
# @param creates
#   A file in it that says that it is there.
# @param strip
#   How many directories are taken off the paths of a tar archive.
# @param path
#   Directory that it becomes.
define teamcity::archive (
  String[1] $source,
  Pattern[/\A[0-9a-f]{64}\z/] $checksum,
  String[1] $owner,
  String[1] $creates,
  Integer[0] $strip = 0,
  Stdlib::Absolutepath $path = $title,
) {
  $unpack = $source ? {
    /\.zip\z/ => "unzip -q ${path}.fetched -d ${path}.new",
    default   => "tar -xzf ${path}.fetched -C ${path}.new --strip-components=${strip}",
  }

  ensure_packages(['curl', 'ca-certificates'])

  exec { "fetch ${title}":
    command  => "set -e; rm -rf ${path}.new ${path}.fetched; mkdir -p ${path}.new; \
curl -fsSL --proto '=https,file' --proto-redir '=https' --retry 3 -o ${path}.fetched '${source}'; \
echo '${checksum}  ${path}.fetched' | sha256sum -c --quiet -; ${unpack}; rm ${path}.fetched; \
test -e ${path}.new/${creates}; chown -R ${owner}: ${path}.new; rm -rf ${path}; mv ${path}.new ${path}",
    creates  => "${path}/${creates}",
    provider => shell,
    path     => ['/usr/bin', '/bin'],
    timeout  => 1800,
    require  => [Package['curl', 'ca-certificates'], User[$owner]],
  }
}
