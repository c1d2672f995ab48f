# @summary A machine that serves the site's page.
class role::web {
  include profile::base
  include profile::monitor
  include profile::web
}
