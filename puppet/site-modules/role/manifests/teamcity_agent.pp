# @summary A TeamCity agent.
class role::teamcity_agent {
  include profile::base
  include teamcity::agent
}
