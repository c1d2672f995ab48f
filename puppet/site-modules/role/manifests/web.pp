# @summary A machine that serves the site's page.
class role::web {
  include profile::base
  include profile::web
}
