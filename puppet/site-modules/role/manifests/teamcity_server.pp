# @summary A TeamCity server.
class role::teamcity_server {
  include profile::base
  include teamcity::server
}
